"""What is kept of Kafka's messages."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from pathlib import Path

import confluent_kafka
import pytest
from confluent_kafka import Message as KafkaMessage
from confluent_kafka import Producer
from trial import DEADLINE, eventually

from eoconsumer import Message
from eoconsumer.core.letters import DeadLetter
from eoconsumer.core.modes import Mode
from eoconsumer.errors import DecodeError
from eoconsumer.kafka import KafkaSource, client_settings
from eoconsumer.kafka.source import CHUNK
from eoconsumer.message import RawMessage, TopicPartition
from eoconsumer.servers import KafkaBroker

HEADERS = [("trace", b"a"), ("trace", None), ("kind", b"")]
#: https://docs.confluent.io/platform/current/clients/librdkafka/html/rdkafka_8h.html
VTYPE_END, VTYPE_TOPIC, VTYPE_PARTITION, VTYPE_VALUE, VTYPE_HEADER = 0, 1, 3, 4, 9
COUNT = 4 * CHUNK + 1


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
def test_headers_that_cannot_be_decoded_are_told_of_when_they_are_asked_for(
    source: KafkaSource, topic: str, kafka_broker: KafkaBroker
) -> None:
    polled(source)
    send_with_header(kafka_broker.bootstrap_servers, topic, b"\xff\xfe")
    (raw,) = eventually(lambda: source.poll(9, 0.2))
    message = Message(raw, None)
    assert (message.offset, message.raw_value) == (COUNT, b"v")
    with pytest.raises(DecodeError, match=rf"\[0\]@{COUNT}\) could not be decoded.*not UTF-8"):
        _ = message.headers
    assert DeadLetter(message, ValueError(), 1).headers is None


def send_with_header(bootstrap: str, topic: str, name: bytes) -> None:
    """Send what confluent-kafka's producer would not: it takes names as text only."""
    (path,) = Path(confluent_kafka.__file__).parents[1].glob("confluent_kafka.libs/librdkafka*")
    library = ctypes.CDLL(str(path))
    library.rd_kafka_conf_new.restype = library.rd_kafka_new.restype = ctypes.c_void_p
    conf = ctypes.c_void_p(library.rd_kafka_conf_new())
    library.rd_kafka_conf_set(conf, b"bootstrap.servers", bootstrap.encode(), None, 0)
    producer = ctypes.c_void_p(library.rd_kafka_new(0, conf, None, 0))
    one = ctypes.c_size_t(1)
    partition = (VTYPE_PARTITION, 0)
    value, header = (VTYPE_VALUE, b"v", one), (VTYPE_HEADER, name, b"x", one)
    said = library.rd_kafka_producev(
        producer, VTYPE_TOPIC, topic.encode(), *partition, *value, *header, VTYPE_END
    )
    assert said == library.rd_kafka_flush(producer, int(DEADLINE * 1000)) == 0
    library.rd_kafka_destroy(producer)


@pytest.mark.slow
def test_the_garbage_collector_watches_nothing_that_is_kept_of_a_message(
    source: KafkaSource,
) -> None:
    kept = polled(source)
    for _ in range(3):  # of tuples in tuples it lets go one level at a time
        gc.collect()
    assert not any(map(gc.is_tracked, kept))


def alive() -> int:
    return sum(type(found) is KafkaMessage for found in gc.get_objects())


@pytest.mark.slow
def test_the_messages_of_kafkas_client_never_live_as_long_as_a_batch(source: KafkaSource) -> None:
    seen: list[int] = []
    before = alive()

    def look(*_: object) -> None:
        seen.append(alive() - before)

    usual = gc.get_threshold()
    gc.callbacks.append(look)
    gc.set_threshold(50)  # it is to look often, so that it sees the most there are
    try:
        polled(source)
    finally:
        gc.set_threshold(*usual)
        gc.callbacks.remove(look)
    assert 0 < max(seen, default=0) <= CHUNK
