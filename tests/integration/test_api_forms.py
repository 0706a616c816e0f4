"""What users write, on a real broker: handlers in both forms, decoding, what a message holds."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.serialization import (
    MessageField,
    SerializationContext,
    StringDeserializer,
    StringSerializer,
)
from consuming import Keep, committed, kept, places, running, send
from pydantic import BaseModel
from trial import DEADLINE, Fill, eventually

from eoconsumer import Consumer, Message, RetryPolicy
from eoconsumer.errors import DecodeError
from eoconsumer.servers import KafkaBroker
from eoconsumer.stores.memory import MemoryStore
from eoconsumer.testing.plugin import TopicFactory


class Move(BaseModel):
    n: int


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def bootstrap(kafka_broker: KafkaBroker) -> str:
    return kafka_broker.bootstrap_servers


# --- a subclass ---------------------------------------------------------------------------------


def test_handle_gets_the_messages_one_by_one_in_order(
    bootstrap: str, topic: str, memory: MemoryStore, fill: Fill
) -> None:
    produced = fill(topic, 20)
    Keep(bootstrap, memory, topics=[topic], group=topic).run_until(committed(20))
    assert places(kept(memory)) == produced


@pytest.mark.parametrize("topic", [3], indirect=True)
def test_handle_batch_gets_consecutive_messages_of_one_partition(
    bootstrap: str, topic: str, memory: MemoryStore, fill: Fill
) -> None:
    class Bulk(Consumer):
        def handle_batch(self, messages: list[Message], session: Any) -> None:
            session.append("runs", list(messages))

    produced = fill(topic, 300)
    Bulk(bootstrap, memory, topics=[topic], group=topic).run_until(committed(300))
    runs: Any = memory.tables["runs"]
    for run in runs:
        assert len({m.partition for m in run}) == 1
        assert [m.offset for m in run] == list(range(run[0].offset, run[-1].offset + 1))
    assert sorted(place for run in runs for place in places(run)) == produced
    assert len(runs) < 100


def test_decode_of_a_subclass_makes_the_value(
    bootstrap: str, topic: str, memory: MemoryStore, fill: Fill
) -> None:
    class Decoding(Keep):
        def decode(self, message: Message[bytes]) -> str:
            return message.value.decode().upper()

    fill(topic, 1)
    Decoding(bootstrap, memory, topics=[topic], group=topic).run_until(committed(1))
    assert [m.value for m in kept(memory)] == ['{"N": 0}']


def test_value_type_of_a_subclass_makes_the_value(
    bootstrap: str, topic: str, memory: MemoryStore, fill: Fill
) -> None:
    class Typed(Keep):
        value_type = Move

    fill(topic, 2)
    Typed(bootstrap, memory, topics=topic, group=topic).run_until(committed(2))
    assert [m.value for m in kept(memory)] == [Move(n=0), Move(n=1)]


# --- a decorator --------------------------------------------------------------------------------


def test_each_topic_has_its_own_function_form_and_decoding(
    bootstrap: str, topic_factory: TopicFactory, memory: MemoryStore, fill: Fill
) -> None:
    ones, many, typed, texts = (topic_factory() for _ in range(4))
    ledger = Consumer(bootstrap, memory, group=ones)

    @ledger.on(ones)
    def one(message: Message[bytes], session: Any) -> None:
        session.append("one", message.value)

    @ledger.on(many, form="batch", value_type=Move)
    def batch(messages: list[Message[Move]], session: Any) -> None:
        session.append("batch", [m.value.n for m in messages])

    @ledger.on(typed, value_type=Move)
    def model(message: Message[Move], session: Any) -> None:
        session.append("typed", message.value.n)

    @ledger.on(texts, decode=lambda message: message.raw_value.decode())
    def text(message: Message[str], session: Any) -> None:
        session.append("text", message.value)

    for name in (ones, many, typed, texts):
        fill(name, 3)
    ledger.run_until(committed(12))
    assert memory.tables["one"] == [b'{"n": %d}' % n for n in range(3)]
    batches: Any = memory.tables["batch"]
    assert [n for batch in batches for n in batch] == [0, 1, 2]
    assert memory.tables["typed"] == [0, 1, 2]
    assert memory.tables["text"] == [f'{{"n": {n}}}' for n in range(3)]


def test_a_deserializer_of_confluent_kafka_fits_in(
    bootstrap: str, topic: str, memory: MemoryStore
) -> None:
    ledger = Consumer(bootstrap, memory, group=topic)
    deserialize = StringDeserializer("utf_16")

    def decode(message: Message[bytes]) -> str | None:
        return deserialize(
            message.raw_value, SerializationContext(message.topic, MessageField.VALUE)
        )

    @ledger.on(topic, decode=decode)
    def keep(message: Message[str], session: Any) -> None:
        session.append("texts", message.value)

    send(bootstrap, topic, StringSerializer("utf_16")("Birne"), None)
    ledger.run_until(committed(2))
    assert memory.tables["texts"] == ["Birne", None]


# --- topics -------------------------------------------------------------------------------------


def test_a_regular_expression_takes_the_topics_that_match_and_those_that_come_later(
    bootstrap: str, topic_factory: TopicFactory, memory: MemoryStore, kafka_broker: KafkaBroker
) -> None:
    first, other = topic_factory(), topic_factory()
    later = f"{other}-later"
    send(bootstrap, other, b"not ours")
    send(bootstrap, first, b"first")
    patterns = [f"^{first}$", f"^{later}.*"]  # the second matches nothing yet
    with running(Keep(bootstrap, memory, topics=patterns, group=first)) as consumer:
        eventually(lambda: kept(memory))
        kafka_broker.create_topic(later)
        send(bootstrap, later, b"later")
        send(bootstrap, first, b"second")
        eventually(lambda: len(kept(memory)) == 3)
        assert {t.topic for t in consumer.snapshot().positions} == {first, later}
    assert sorted(m.value for m in kept(memory)) == [b"first", b"later", b"second"]


# --- what a message holds -------------------------------------------------------------------------


def test_a_message_holds_what_the_producer_sent(
    bootstrap: str, topic: str, memory: MemoryStore
) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    headers: Any = [("type", b"a"), ("trace", None), ("type", b"b"), ("", b"")]
    producer.produce(
        topic, b"\x00\xff", b"key\xff", 0, timestamp=1_700_000_000_123, headers=headers
    )
    producer.produce(topic, None, b"gone", 0)
    producer.produce(topic, b"", None, 0)
    producer.produce(topic, b"v", b"", 0)
    assert producer.flush(DEADLINE) == 0

    Keep(bootstrap, memory, topics=[topic], group=topic).run_until(committed(4))

    full, tombstone, empty, no_key = kept(memory)
    assert (full.topic, full.partition, full.offset) == (topic, 0, 0)
    assert full.timestamp == 1_700_000_000_123
    assert (full.key, full.raw_key) == (b"key\xff", b"key\xff")
    assert (full.value, full.raw_value) == (b"\x00\xff", b"\x00\xff")
    assert full.headers == (("type", b"a"), ("trace", None), ("type", b"b"), ("", b""))
    assert (tombstone.value, tombstone.raw_value) == (None, None)
    assert (empty.value, empty.raw_value) == (b"", b"")
    assert empty.headers == ()
    assert (empty.key, no_key.key) == (None, b"")


def test_without_a_timestamp_there_is_none_and_with_log_append_time_it_is_the_brokers(
    bootstrap: str, topic_factory: TopicFactory, memory: MemoryStore
) -> None:
    topic = topic_factory(1, message_timestamp_type="LogAppendTime")
    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce(topic, b"x", timestamp=1)
    producer.flush(DEADLINE)
    Keep(bootstrap, memory, topics=[topic], group=topic).run_until(committed(1))
    [message] = kept(memory)
    assert message.timestamp is not None
    assert message.timestamp > 1_700_000_000_000


# --- what cannot be decoded ----------------------------------------------------------------------


def test_a_message_that_cannot_be_decoded_stops_the_consumer_in_front_of_it(
    bootstrap: str, topic: str, memory: MemoryStore
) -> None:
    class Typed(Keep):
        value_type = Move

        def handle(self, message: Message, session: Any) -> None:
            session.append("kept", message.value)

    send(bootstrap, topic, b'{"n": 1}', b"broken", b'{"n": 3}')
    with pytest.raises(DecodeError, match=r"\[0\]@1 could not be decoded"):
        Typed(bootstrap, memory, topics=[topic], group=topic).run_until(committed(3))
    assert memory.tables["kept"] == [Move(n=1)]


@pytest.mark.parametrize("form", ["handle", "batch"])
def test_a_message_that_cannot_be_decoded_is_buried_with_its_bytes_and_the_others_go_on(
    bootstrap: str, topic: str, memory: MemoryStore, form: Any
) -> None:
    ledger = Consumer(
        bootstrap, memory, group=topic, on_poison="bury", retry=RetryPolicy(minimum=0.01)
    )

    @ledger.on(topic, value_type=Move, form=form)
    def keep(given: Any, session: Any) -> None:
        for message in [given] if form == "handle" else given:
            session.append("kept", message.value.n)

    send(bootstrap, topic, b'{"n": 1}', b"broken", b'{"n": 3}')
    ledger.run_until(committed(3))
    assert memory.tables["kept"] == [1, 3]
    [letter] = memory.dead_letters
    assert letter.message.raw_value == b"broken"
    assert letter.failure.type.endswith("DecodeError")
    assert "caused by ValidationError" in letter.failure.text
