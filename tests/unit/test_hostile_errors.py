"""Errors of handlers that say nothing, name themselves as their cause, or are about others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from on_loop import SERVERS, OnLoop, logs

from eoconsumer import AsyncConsumer, Consumer, DecodeError, Message, Record, RetryPolicy
from eoconsumer.cli.exits import failure
from eoconsumer.core.letters import EVERY_LETTER, MOST_TEXT, Failure
from eoconsumer.errors import HandlerFailed
from eoconsumer.message import Undecoded
from eoconsumer.stores.memory import MemoryStore
from eoconsumer.stores.memory_async import AsyncMemoryStore
from eoconsumer.telemetry import Events, Trace
from eoconsumer.testing.feed import feed

AT_ONCE = RetryPolicy(attempts=2, minimum=0.0, maximum=0.0)
FORMS = pytest.mark.parametrize("form", ["handle", "batch", "writes"])
MODES = pytest.mark.parametrize("mode", ["exactly_once", "at_least_once", "at_most_once"])


class Mute(Exception):  # noqa: N818 - it has no text
    def __str__(self) -> str:
        raise RuntimeError("there is no text")


class Tracing(Events):
    def trace(self, trace: Trace) -> None:
        """Being there is enough."""


def from_itself(error: Exception) -> Exception:
    error.__cause__ = error
    return error


def in_a_circle() -> Exception:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    return first


@FORMS
@MODES
@pytest.mark.parametrize("error", [Mute(), from_itself(ValueError("bad")), in_a_circle()])
def test_whatever_an_error_is_its_message_is_buried(error: Exception, mode: str, form: Any) -> None:
    store = MemoryStore()
    poison = {"group": "ledger", "mode": mode, "on_poison": "bury", "retry": AT_ONCE}
    consumer = Consumer(SERVERS, store, **poison, batch_size=1)  # at most once: it alone

    @consumer.on("orders", form=form)
    def handle(given: Any, *_: Any) -> None:
        for message in [given] if isinstance(given, Message) else given:
            if message.offset == 2:
                raise error

    fed = feed(consumer, [b"{}"] * 5)
    assert [failed.message.offset for failed in fed.buried] == [2]
    assert [message.offset for message in fed.applied] == [0, 1, 3, 4]


@pytest.mark.parametrize("cause", [Mute(), from_itself(ValueError("bad")), in_a_circle()])
def test_whatever_an_error_is_a_command_says_it(cause: Exception) -> None:
    error = HandlerFailed("It failed.")
    error.__cause__ = cause
    assert failure(error).message.startswith(f"It failed.\n  caused by {type(cause).__name__}: ")


def test_a_command_does_not_quote_what_could_not_be_decoded() -> None:
    error = DecodeError("t[0]@0 could not be decoded (ValueError).")
    error.__cause__ = from_itself(ValueError("card 4111"))
    assert failure(error).message == "t[0]@0 could not be decoded (ValueError)."


def test_a_password_at_which_an_error_is_cut_is_not_kept() -> None:
    text = "x" * (MOST_TEXT - 20) + " mongodb://u:secret-word@host/shop"
    kept = Failure.of(ValueError(text))
    assert "secret" not in kept.text
    assert len(kept.text) == MOST_TEXT


@FORMS
@MODES
@pytest.mark.parametrize("place", [(0, 999), (1, 4), (1, 0), (0, 4)])
def test_an_error_about_another_message_blames_none_that_was_not_at_work(
    place: tuple[int, int], mode: str, form: Any
) -> None:
    """A handler may keep a message, and look at its headers later."""
    other = Message(Record("orders", *place, b"", None, Undecoded(ValueError())), None)
    seen: list[int] = []

    def look(given: Any, *_: Any) -> None:
        for message in [given] if isinstance(given, Message) else given:
            if message.offset == 2:
                _ = other.headers
            seen.append(message.offset)

    store = MemoryStore()
    poison = {"group": "ledger", "mode": mode, "on_poison": "bury", "retry": AT_ONCE}
    consumer = Consumer(SERVERS, store, **poison, batch_size=3, events=Tracing())
    consumer.on("orders", form=form)(look)
    fed = feed(consumer, [b"{}"] * 6, partition=0)
    applied = {message.offset for message in fed.applied}
    buried = {failed.message.offset for failed in fed.buried}
    assert applied | buried == {*range(6)}
    assert applied <= {*seen}, "none counts as applied that no handler has finished"
    if mode == "exactly_once" and place != (0, 4):
        assert buried == {2}


def test_an_error_about_another_message_blames_none_on_an_event_loop() -> None:
    other = Message(Record("orders", 0, 999, b"", None, Undecoded(ValueError())), None)
    poison = {"group": "ledger", "on_poison": "bury", "retry": AT_ONCE, "readers": 1}
    consumer = AsyncConsumer(SERVERS, store := AsyncMemoryStore(), **poison, events=Tracing())

    @consumer.on("orders")
    async def look(message: Message, _: Any) -> None:
        if message.offset == 2:
            _ = other.headers

    asyncio.run(OnLoop(consumer, logs(1, 6)).all())
    assert [letter.offset for letter in store.memory.letters(EVERY_LETTER, None, 9)] == [2]


def test_a_dead_letter_of_an_error_without_a_text_says_so() -> None:
    assert Failure.of(Mute()).text == "(its text cannot be shown: RuntimeError)"
