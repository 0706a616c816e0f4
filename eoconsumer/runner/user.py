"""The user's side of a reader: handlers and hooks, and how their errors are told apart."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from types import GeneratorType
from typing import Any

from eoconsumer.codecs import Routes
from eoconsumer.core.effects import Before, OutOfTime, Run, RunFailed
from eoconsumer.errors import DecodeError, HandlerMisuse, TransientStoreError, WriteFailed
from eoconsumer.message import Message, RawMessage, TopicPartition
from eoconsumer.protocols import Scope, StoreSession
from eoconsumer.runner.watch import Watch
from eoconsumer.telemetry import Trace

log = logging.getLogger("eoconsumer.hooks")


@dataclass(frozen=True, slots=True)
class User:
    """What the user wrote; ``after_commit`` is None where there are no stages after the commit."""

    routes: Routes
    after_commit: Callable[[Sequence[Message[Any]]], object] | None
    on_assigned: Callable[[list[TopicPartition]], object]
    on_revoked: Callable[[list[TopicPartition]], object]


class Work:
    """Runs the user's handler over one run, in a transaction or outside of one."""

    def __init__(self, user: User, watch: Watch, store: StoreSession[Any]) -> None:
        """``store`` tells a transient error of the database from an error of the handler."""
        self._user = user
        self._watch = watch
        self._store = store

    def view(self, raw: RawMessage) -> Message[Any]:
        """Return one message as its handler sees it."""
        (message,) = self._user.routes.of(raw.topic() or "").view([raw])
        return message

    def handle(self, run: Run, session: Any, *, attempt: int, until: float | None) -> None:
        """Give the live messages of ``run`` to their handler.

        ``until`` is the monotonic time at which the open transaction has lived too long; None
        outside a transaction. Raises ``RunFailed``, ``OutOfTime``, ``HandlerMisuse`` or, in a
        transaction, ``TransientStoreError``.
        """
        messages = run.live
        if not messages:
            return
        route = self._user.routes.of(run.partition.topic)
        if route.form == "writes":
            self._record(run, messages, route.call, until, attempt)
            return
        if route.form == "batch":
            call = partial(route.call, messages, session)
            self._stage(run, messages, call, until, attempt)
            self._in_time(until)
            return
        if self._watch.tracing:
            for message in messages:
                call = partial(route.call, message, session)
                self._stage(run, [message], call, until, attempt, one_by_one=True)
                self._in_time(until)
            return
        call_handler = route.call
        for message in messages:
            try:
                call_handler(message, session)
            except Exception as error:
                failure = self._failure(run, message.offset, error, until)
                raise failure from failure.__cause__ or error
            if until is not None and time.monotonic() > until:
                self._in_time(until)

    def write(
        self, runs: Sequence[Run], scope: Scope[Any], *, inside: bool, until: float | None
    ) -> int:
        """Send the recorded writes of ``runs`` in one go; return how many there were.

        ``inside``: in a transaction. What was sent outside of one is not kept: a driver may have
        put keys into it, which a replay would find taken. Raises ``RunFailed``, ``OutOfTime``,
        ``HandlerMisuse`` or ``TransientStoreError``.
        """
        routes = self._user.routes
        recording = [run for run in runs if routes.of(run.partition.topic).form == "writes"]
        writes = [w for run in recording for m in run.live for w in m.recorded or ()]
        if not writes:
            return 0
        try:
            scope.write(writes)
        except WriteFailed as failed:
            before: Before = "handled" if failed.before_are_done else "perhaps"
            raise RunFailed(*_place(recording, failed.index), before=before) from (
                failed.__cause__ or failed
            )
        except TransientStoreError as error:
            self._in_time(until)  # the server itself ends a transaction that lives too long
            if inside:
                raise
            raise RunFailed(*_place(recording, None), before="perhaps") from error
        finally:
            if not inside:
                for run in recording:
                    for message in run.messages:
                        message.recorded = None
        self._in_time(until)
        return len(writes)

    def after_commit(self, runs: Sequence[Run]) -> None:
        """Run the stages after the commit; an error is logged and counted, nothing else."""
        if self._user.after_commit is None:
            return
        for run in runs:
            began, error = time.monotonic(), None
            try:
                if run.live:
                    self._user.after_commit(run.live)
            except Exception as raised:
                error = raised
                log.exception("after_commit failed for %s; its messages stay done", run.partition)
                self._watch.report("stage_failed", {"error": raised, "messages": len(run.live)})
            self._trace(run, run.live, 1, "after_commit", began, error)

    def assigned(self, keys: Sequence[TopicPartition]) -> None:
        """Tell the user what came."""
        self._hook("on_assigned", self._user.on_assigned, keys)

    def revoked(self, keys: Sequence[TopicPartition]) -> None:
        """Tell the user what went."""
        self._hook("on_revoked", self._user.on_revoked, keys)

    # --- inside -----------------------------------------------------------------------------

    def _stage(
        self,
        run: Run,
        messages: Sequence[Message[Any]],
        call: Callable[[], object],
        until: float | None,
        attempt: int,
        *,
        one_by_one: bool = False,
    ) -> None:
        began = time.monotonic()
        try:
            call()
        except Exception as error:
            self._trace(run, messages, attempt, "handle", began, error)
            offset = self._culprit(messages, error)
            before: Before = "handled" if one_by_one else "perhaps"
            failure = self._failure(run, offset, error, until, before=before)
            raise failure from failure.__cause__ or error
        self._trace(run, messages, attempt, "handle", began, None)

    def _record(
        self,
        run: Run,
        messages: Sequence[Message[Any]],
        call: Callable[[Message[Any]], Any],
        until: float | None,
        attempt: int,
    ) -> None:
        """Ask the handler for the writes of each message, once; nothing is written here."""
        tracing = self._watch.tracing
        for message in messages:
            if message.recorded is not None:
                continue
            began = time.monotonic() if tracing else 0.0
            try:
                message.recorded = _listed(call(message))
            except Exception as error:
                self._trace(run, [message], attempt, "handle", began, error)
                failure = self._failure(run, message.offset, error, until, before="untouched")
                raise failure from failure.__cause__ or error
            if tracing:
                self._trace(run, [message], attempt, "handle", began, None)
        self._in_time(until)

    def _culprit(self, messages: Sequence[Message[Any]], error: Exception) -> int | None:
        """Return the offset of the message that ``error`` is about, if that is known."""
        if isinstance(error, DecodeError) and error.offset is not None:
            return error.offset
        index = 0 if len(messages) == 1 else self._store.culprit(error, len(messages))
        return None if index is None else messages[index].offset

    def _failure(
        self,
        run: Run,
        offset: int | None,
        error: Exception,
        until: float | None,
        *,
        before: Before = "handled",
    ) -> Exception:
        """Return what the core is to know of ``error``; its cause is the error, or its meaning."""
        told = self._store.translate(error)
        if isinstance(told, HandlerMisuse):
            return told
        if isinstance(told, TransientStoreError):
            if until is not None:
                self._in_time(until)  # the server itself ends a transaction that lives too long
                return told
            failure = RunFailed(run.partition, offset, before=before)
            failure.__cause__ = told
            return failure
        return RunFailed(run.partition, offset, before=before)

    def _in_time(self, until: float | None) -> None:
        if until is not None and (late := time.monotonic() - until) > 0:
            raise OutOfTime(late)

    def _trace(
        self,
        run: Run,
        messages: Sequence[Message[Any]],
        attempt: int,
        stage: str,
        began: float,
        error: BaseException | None,
    ) -> None:
        if not self._watch.tracing or not messages:
            return
        seconds = (time.monotonic() - began) / len(messages)
        topic, partition = run.partition
        for message in messages:
            self._watch.trace(
                Trace(topic, partition, message.offset, attempt, stage, seconds, error)
            )

    def _hook(
        self,
        name: str,
        hook: Callable[[list[TopicPartition]], object],
        keys: Sequence[TopicPartition],
    ) -> None:
        if not keys:
            return
        try:
            hook(list(keys))
        except Exception:
            log.exception("%s failed for %s; the consumer goes on", name, ", ".join(map(str, keys)))


def _listed(returned: Any) -> Sequence[Any]:
    """Return what a handler returned or yields as a list: nothing, one write, or several."""
    if type(returned) in (list, GeneratorType):  # most of them; the question below takes longer
        return list(returned)
    if returned is None:
        return []
    return list(returned) if isinstance(returned, Iterable) else [returned]


def _place(runs: Sequence[Run], index: int | None) -> tuple[TopicPartition | None, int | None]:
    """Return partition and offset of the message that write number ``index`` is of, if known."""
    if index is not None:
        for run in runs:
            for message in run.live:
                index -= len(message.recorded or ())
                if index < 0:
                    return run.partition, message.offset
    return (runs[0].partition if len(runs) == 1 else None), None
