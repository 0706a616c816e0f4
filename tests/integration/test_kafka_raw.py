"""What is kept of Kafka's messages."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from confluent_kafka import Message as KafkaMessage
from confluent_kafka import Producer
from trial import DEADLINE, eventually

from eoconsumer import Message
from eoconsumer.core.modes import Mode
from eoconsumer.kafka import KafkaSource, client_settings
from eoconsumer.kafka.source import AT_ONCE
from eoconsumer.message import RawMessage, TopicPartition
from eoconsumer.servers import KafkaBroker

HEADERS = [("trace", b"a"), ("trace", None), ("kind", b"")]
COUNT = 4 * AT_ONCE + 1


@pytest.fixture
def source(kafka_broker: KafkaBroker, topic: str) -> Iterator[KafkaSource]:
    producer = Producer({"bootstrap.servers": kafka_broker.bootstrap_servers})
    producer.produce(topic, b"v", b"k", 0, timestamp=1_700, headers=HEADERS)
    for _ in range(COUNT - 1):
        producer.produce(topic, None, partition=0, timestamp=1_701)
    assert producer.flush(DEADLINE) == 0
    settings = client_settings(kafka_broker.bootstrap_servers, topic, Mode.EXACTLY_ONCE, {})
    source = KafkaSource(settings)
    given: list[TopicPartition] = []
    source.subscribe([topic], given.extend, lambda _: None, lambda _: None)
    eventually(lambda: source.poll(1, 0.05) or given)
    source.assign({TopicPartition(topic, 0): 0}, {})
    yield source
    source.close()


def polled(source: KafkaSource) -> list[RawMessage]:
    kept: list[RawMessage] = []
    eventually(lambda: kept.extend(source.poll(COUNT, 0.2)) or len(kept) == COUNT)
    return kept


@pytest.mark.slow
def test_all_that_kafka_has_of_a_message_is_kept(source: KafkaSource, topic: str) -> None:
    first, second = (Message(raw, None) for raw in polled(source)[:2])
    assert (first.topic, first.partition, first.offset) == (topic, 0, 0)
    assert (first.raw_value, first.key, first.headers) == (b"v", b"k", tuple(HEADERS))
    assert (first.timestamp, first.leader_epoch) == (1_700, 0)
    assert (second.raw_value, second.key, second.headers) == (None, None, ())
    assert (second.timestamp, second.offset) == (1_701, 1)


@pytest.mark.slow
def test_the_garbage_collector_watches_nothing_that_is_kept_of_a_message(
    source: KafkaSource,
) -> None:
    kept = polled(source)
    for _ in range(3):  # of tuples in tuples it lets go one level at a time
        gc.collect()
    assert not any(map(gc.is_tracked, kept))


@pytest.mark.slow
def test_the_messages_of_kafkas_client_never_live_as_long_as_a_batch(source: KafkaSource) -> None:
    seen: list[int] = []

    def look(*_: object) -> None:
        seen.append(sum(type(found) is KafkaMessage for found in gc.get_objects()))

    usual = gc.get_threshold()
    gc.callbacks.append(look)
    gc.set_threshold(50)  # it is to look often, so that it sees the most there are
    try:
        polled(source)
    finally:
        gc.set_threshold(*usual)
        gc.callbacks.remove(look)
    assert 0 < max(seen, default=0) <= AT_ONCE
