"""Mistakes that would lose messages without a word are refused when the consumer is made."""

from __future__ import annotations

import functools
import threading
from typing import Any

import pytest
from confluent_kafka.serialization import StringDeserializer

from eoconsumer import ConfigurationError, Consumer, Message, Record
from eoconsumer.kafka import adapted, of_reader
from eoconsumer.runner.watch import Watch
from eoconsumer.stores.memory import MemoryStore


async def coroutine(_: Message, __: Any) -> None:
    """Would never run."""


def generator(_: Message, __: Any) -> Any:
    yield


@pytest.mark.parametrize("handler", [coroutine, generator, functools.partial(coroutine)])
def test_a_handler_whose_call_does_nothing_is_refused(handler: Any) -> None:
    consumer = Consumer("localhost:9092", MemoryStore(), group="g")
    with pytest.raises(ConfigurationError, match="plain function"):
        consumer.on("t")(handler)


def test_an_async_method_is_refused() -> None:
    class Ledger(Consumer):
        topics, group = ["t"], "g"

        async def handle(self, message: Message, session: Any) -> None: ...

    with pytest.raises(ConfigurationError, match=r"handle is a coroutine"):
        Ledger("localhost:9092", MemoryStore())


@pytest.mark.parametrize("topic", [5, "", None])
def test_a_topic_without_a_name_is_refused(topic: Any) -> None:
    consumer = Consumer("localhost:9092", MemoryStore(), group="ledger", topics=[topic])
    with pytest.raises(ConfigurationError, match="is no name of a topic"):
        consumer.on()(print)


def test_a_decorator_without_parentheses_is_refused() -> None:
    consumer: Any = Consumer("localhost:9092", MemoryStore(), group="ledger", topics=["moves"])
    with pytest.raises(ConfigurationError, match="no parentheses"):

        @consumer.on
        def handle(message: Any, session: Any) -> None: ...


def test_a_url_is_no_store() -> None:
    with pytest.raises(ConfigurationError, match=r"is a str, not a store.*MongoStore.connect"):
        Consumer("localhost:9092", "mongodb://localhost/shop", group="g")  # type: ignore[arg-type]  # the mistake


def test_a_deserializer_of_confluent_kafka_gets_bytes_and_context() -> None:
    decode = adapted(StringDeserializer())
    assert decode(Message(Record("t", 0, 0, b"caf\xc3\xa9"), None)) == "café"


def test_each_reader_is_a_static_member_of_its_own() -> None:
    settings = {"group.instance.id": "a", "client.id": "c"}
    assert [of_reader(settings, n, 2)["group.instance.id"] for n in range(2)] == ["a-0", "a-1"]
    assert of_reader(settings, 0, 1) == settings


def test_a_hook_object_needs_only_the_hooks_it_has() -> None:
    seen = []

    class Hooks:
        def fenced(self, partition: object) -> None:
            seen.append(partition)

    watch = Watch(Hooks())  # type: ignore[arg-type]  # duck typing is the point
    watch.report("fenced", {"partition": "p"})
    watch.report("committed", {"runs": (), "seconds": 0.0})
    assert seen == ["p"]


def test_a_stop_before_the_first_run_makes_it_return(kafka_broker: Any, topic: str) -> None:
    consumer = Consumer(kafka_broker.bootstrap_servers, MemoryStore(), group="early")
    consumer.on(topic)(lambda _message, _session: None)
    consumer.stop()
    thread = threading.Thread(target=consumer.run, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
