"""Mistakes that would lose messages without a word are refused when the consumer is made."""

from __future__ import annotations

import functools
import re
import threading
from contextlib import nullcontext
from typing import Any

import pytest
from confluent_kafka.serialization import StringDeserializer

from eoconsumer import ConfigurationError, Consumer, HandlerMisuse, Message, Record
from eoconsumer.kafka import adapted, of_reader
from eoconsumer.runner.watch import Watch
from eoconsumer.stores.memory import MemoryStore
from eoconsumer.testing.feed import feed


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


@pytest.mark.parametrize("hook", ["after_commit", "on_assigned", "on_revoked"])
def test_a_hook_that_would_never_run_is_refused(hook: str) -> None:
    async def never(*_: Any) -> None: ...

    members = {"handle": print, hook: never}
    kind = type("Ledger", (Consumer,), {"topics": "t", "group": "g", **members})

    with pytest.raises(ConfigurationError, match=r"never is a coroutine"):
        kind("localhost:9092", MemoryStore())


@pytest.mark.parametrize(
    ("form", "handler", "call"),
    [
        ("handle", lambda _message: None, "(message, session)"),
        ("batch", lambda _messages: None, "(messages, session)"),
        ("writes", lambda _message, _session: None, "(message)"),
        ("handle", lambda _message, *, _session: None, "(message, session)"),
        ("handle", 5, "(message, session)"),
    ],
)
def test_a_handler_that_cannot_be_called_is_refused_and_not_with_each_message(
    form: Any, handler: Any, call: str
) -> None:
    consumer = Consumer("localhost:9092", MemoryStore(), group="g")
    with pytest.raises(ConfigurationError, match=re.escape(f"is called with {call}")):
        consumer.on("t", form=form)(handler)


@pytest.mark.parametrize("decode", [5, lambda: None, lambda _message, _context: None])
def test_a_decoder_that_cannot_be_called_is_refused_and_not_with_each_message(decode: Any) -> None:
    consumer = Consumer("localhost:9092", MemoryStore(), group="g")
    with pytest.raises(ConfigurationError, match=r"is called with \(message\)"):
        consumer.on("t", decode=decode)(print)


@pytest.mark.parametrize("form", ["handle", "batch"])
@pytest.mark.parametrize("mistaken", [coroutine, generator])
def test_work_that_a_handler_returns_and_that_nobody_does_is_a_misuse(
    form: Any, mistaken: Any
) -> None:
    store = MemoryStore()
    consumer = Consumer("unused:9092", store, group="g", on_poison="skip")
    consumer.on("t", form=form)(lambda given, session: mistaken(given, session))

    with (
        pytest.warns(RuntimeWarning) if mistaken is coroutine else nullcontext(),
        pytest.raises(HandlerMisuse, match=rf"returned a {mistaken.__name__}"),
    ):
        feed(consumer, [b"1"])

    assert [row.next_offset for row in store.rows.values()] == [0]


@pytest.mark.parametrize("topic", [5, "", None])
def test_a_topic_without_a_name_is_refused(topic: Any) -> None:
    consumer = Consumer("localhost:9092", MemoryStore(), group="ledger", topics=[topic])
    with pytest.raises(ConfigurationError, match="is no name of a topic"):
        consumer.on()(print)


def test_a_topic_that_is_named_twice_is_subscribed_once() -> None:
    consumer = Consumer("localhost:9092", MemoryStore(), group="ledger", topics=["moves", "moves"])
    consumer.on()(print)
    assert consumer._known_topics() == ["moves"]


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
