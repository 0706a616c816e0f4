"""What the errors of a handler mean to the core; the same for threads and for asyncio."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import AsyncGeneratorType, GeneratorType
from typing import Any, Protocol

from eoconsumer.core.effects import Before, OutOfTime, Run, RunFailed
from eoconsumer.errors import DecodeError, HandlerMisuse, TransientStoreError
from eoconsumer.message import Message
from eoconsumer.runner.watch import Watch
from eoconsumer.telemetry import Trace


class Knowing(Protocol):
    """What is asked of a session of either kind of store; it needs no round trip."""

    def culprit(self, error: BaseException, messages: int) -> int | None:
        """See ``StoreSession.culprit``."""


def culprit(store: Knowing, messages: Sequence[Message[Any]], error: BaseException) -> int | None:
    """Return the offset of the message that ``error`` is about, if that is known.

    Of ``messages``, that is: a handler may have kept another one, and looked at that.
    """
    if isinstance(error, DecodeError) and error.offset is not None:
        ours = error.partition in (None, (messages[0].topic, messages[0].partition))
        if ours and any(message.offset == error.offset for message in messages):
            return error.offset
    index = 0 if len(messages) == 1 else store.culprit(error, len(messages))
    return None if index is None else messages[index].offset


def judged(
    run: Run,
    offset: int | None,
    error: BaseException,
    told: BaseException,
    until: float | None,
    before: Before,
) -> Exception:
    """Return what to raise, with its cause, for ``error``, which the store ``told`` the meaning of.

    ``until`` as in ``in_time``; None outside of a transaction.
    """
    if isinstance(told, HandlerMisuse):
        found: Exception = told
        found.__cause__ = found.__cause__ or error
    elif isinstance(told, TransientStoreError) and until is not None:
        in_time(until)  # the server itself ends a transaction that lives too long
        found = told
        found.__cause__ = found.__cause__ or error
    else:
        found = RunFailed(run.partition, offset, before=before)
        found.__cause__ = told if isinstance(told, TransientStoreError) else error
    return found


def in_time(until: float | None) -> None:
    """Raise ``OutOfTime`` behind ``until``, when the transaction has lived too long."""
    if until is not None and (late := time.monotonic() - until) > 0:
        raise OutOfTime(late)


def must_be_done(returned: object) -> None:
    """Raise ``HandlerMisuse`` where a handler returned work that was not begun."""
    kind = type(returned)
    if hasattr(kind, "__await__") or issubclass(kind, GeneratorType | AsyncGeneratorType):
        raise HandlerMisuse(
            f"The handler returned a {kind.__name__}, which nobody awaits or iterates over: its "
            "work was not done. The batch was rolled back and no offset was stored. Return when "
            "the work is done; await it in the async def of an AsyncConsumer."
        )


def trace(
    watch: Watch,
    run: Run,
    messages: Sequence[Message[Any]],
    attempt: int,
    stage: str,
    began: float,
    error: BaseException | None,
) -> None:
    """Tell whoever traces what a stage did to ``messages``, each with its share of the time."""
    if not watch.tracing or not messages:
        return
    seconds = (time.monotonic() - began) / len(messages)
    topic, partition = run.partition
    for message in messages:
        watch.trace(Trace(topic, partition, message.offset, attempt, stage, seconds, error))
