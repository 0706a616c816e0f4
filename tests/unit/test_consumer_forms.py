"""The forms of a handler: a method of a subclass, or a decorated function."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from eoconsumer import Consumer, Snapshot
from eoconsumer.errors import ConfigurationError
from eoconsumer.stores.memory import MemoryStore


def make(kind: type[Consumer], **settings: Any) -> Consumer:
    return kind("localhost:9092", MemoryStore(), **{"group": "ledger", **settings})


def both(*_: object) -> None:
    """Do nothing."""


def test_a_subclass_with_two_forms_is_refused() -> None:
    class Two(Consumer):
        topics = ("moves",)

        def handle(self, message: Any, session: Any) -> None: ...

        def handle_batch(self, messages: Any, session: Any) -> None: ...

    with pytest.raises(ConfigurationError, match="Two defines handle and handle_batch"):
        make(Two)


def test_a_subclass_with_no_form_is_refused() -> None:
    class Nothing(Consumer):
        topics = ("moves",)

    with pytest.raises(ConfigurationError, match="Nothing defines no handler"):
        make(Nothing)


def test_a_second_form_that_is_inherited_counts() -> None:
    class One(Consumer):
        topics = ("moves",)

        def handle(self, message: Any, session: Any) -> None: ...

    class Another(One):
        def handle_batch(self, messages: Any, session: Any) -> None: ...

    with pytest.raises(ConfigurationError, match="handle and handle_batch"):
        make(Another)


def test_a_subclass_without_topics_is_refused() -> None:
    class Aimless(Consumer):
        def handle(self, message: Any, session: Any) -> None: ...

    with pytest.raises(ConfigurationError, match="Aimless has no topics"):
        make(Aimless)
    assert make(Aimless, topics="moves")
    assert make(Aimless, topics=["^moves-.*"])


def test_a_decorator_with_an_unknown_form_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="form='rows' is unknown"):
        make(Consumer).on("moves", form="rows")  # type: ignore[arg-type]


def test_a_decorator_without_a_topic_takes_those_of_the_consumer() -> None:
    consumer = make(Consumer, topics=["moves", "returns"])
    consumer.on()(both)
    with pytest.raises(ConfigurationError, match="'moves' has a handler already"):
        consumer.on("moves")(both)


def test_a_decorator_without_any_topic_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="names no topic"):
        make(Consumer).on()


def test_a_second_handler_for_a_topic_is_refused() -> None:
    class Ledger(Consumer):
        topics = ("moves",)

        def handle(self, message: Any, session: Any) -> None: ...

    with pytest.raises(ConfigurationError, match="'moves' has a handler already"):
        make(Ledger).on("moves")(both)


def test_a_decorated_function_stays_what_it_was() -> None:
    assert make(Consumer).on("moves")(both) is both


def test_without_a_handler_nothing_runs() -> None:
    with pytest.raises(ConfigurationError, match="There is no handler"):
        make(Consumer).run()


def test_a_run_that_was_refused_is_over() -> None:
    consumer = make(Consumer)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="There is no handler"):
            consumer.run()


def test_before_a_run_there_is_nothing_to_stop_and_nothing_counted() -> None:
    consumer = make(Consumer)
    consumer.stop()
    assert consumer.snapshot() == Snapshot()


def test_the_library_logs_nowhere_unless_told() -> None:
    assert any(isinstance(h, logging.NullHandler) for h in logging.getLogger("eoconsumer").handlers)
