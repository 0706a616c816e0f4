"""The user's side of a reader: handlers and hooks, and how their errors are told apart."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from eoconsumer.codecs import Routes
from eoconsumer.core.effects import Before, Run
from eoconsumer.errors import TransientStoreError, WriteFailed
from eoconsumer.message import OFFSET, TOPIC, Message, RawMessage, TopicPartition
from eoconsumer.protocols import Scope, StoreSession
from eoconsumer.runner.judging import culprit, in_time, judged, must_be_done, trace
from eoconsumer.runner.recording import Recording
from eoconsumer.runner.undecoded import first_undecoded, reading
from eoconsumer.runner.watch import Watch

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
        self.recording = Recording(store)

    def view(self, raw: RawMessage) -> Message[Any]:
        """Return one message as its handler sees it."""
        (message,) = self._user.routes.of(raw[TOPIC]).view([raw])
        return message

    def handle(
        self, run: Run, session: Any, *, attempt: int, inside: bool, until: float | None
    ) -> None:
        """Give the live messages of ``run`` to their handler.

        What they leave in their session is written behind them; outside of a transaction (not
        ``inside``) behind each of them. ``until`` is the monotonic time at which the open
        transaction has lived too long; None outside a transaction. Raises ``RunFailed``,
        ``OutOfTime``, ``HandlerMisuse`` or, in a transaction, ``TransientStoreError``.
        """
        messages = run.live
        if not messages:
            return
        route = self._user.routes.of(run.partition.topic)
        undecoded = first_undecoded(messages)
        handler = route.call if undecoded is None else reading(route.call)
        if route.form == "writes":
            self._record(run, messages, handler, until, attempt)
            return
        call_handler = handler if inside else self._flushing(handler)
        if route.form == "batch" and undecoded is not None:
            call = partial(getattr, undecoded, "value")  # it raises
            self._stage(run, messages, call, until, attempt, before="untouched")
        elif route.form == "batch":
            call = partial(call_handler, list(messages), session)
            self._stage(run, messages, call, until, attempt, before="perhaps")
        elif self._watch.tracing:
            for message in messages:
                call = partial(call_handler, message, session)
                self._stage(run, [message], call, until, attempt, before="handled")
                in_time(until)
        else:
            for message in messages:
                try:
                    returned = call_handler(message, session)
                except Exception as error:
                    failure = self._failure(run, message.offset, error, until)
                    raise failure from failure.__cause__
                if returned is not None:
                    must_be_done(returned)
                if until is not None and time.monotonic() > until:
                    in_time(until)
        if inside:
            self._flush(run, until)
        in_time(until)

    def write(self, scope: Scope[Any], *, inside: bool, until: float | None) -> int:
        """Send the recorded writes in one go; return how many there were.

        ``inside``: in a transaction. Raises ``RunFailed``, ``OutOfTime``,
        ``HandlerMisuse`` or ``TransientStoreError``.
        """
        writes = self.recording.writes
        if not writes:
            return 0
        try:
            scope.write(writes)
        except (WriteFailed, TransientStoreError) as error:
            if isinstance(error, TransientStoreError):
                in_time(until)  # the server itself ends a transaction that lives too long
            found = self.recording.refused(error, inside=inside)
            raise found from found.__cause__
        in_time(until)
        return len(writes)

    def after_commit(self, runs: Sequence[Run]) -> None:
        """Run the stages after the commit; an error is logged and counted, nothing else."""
        self.recording.settle(runs)
        if self._user.after_commit is None:
            return
        for run in runs:
            began, error = time.monotonic(), None
            try:
                if run.live:
                    self._user.after_commit(list(run.live))
            except Exception as raised:
                error = raised
                log.exception("after_commit failed for %s; its messages stay done", run.partition)
                self._watch.report("stage_failed", {"error": raised, "messages": len(run.live)})
            trace(self._watch, run, run.live, 1, "after_commit", began, error)

    def assigned(self, keys: Sequence[TopicPartition]) -> None:
        """Tell the user what came."""
        self._hook("on_assigned", self._user.on_assigned, keys)

    def revoked(self, keys: Sequence[TopicPartition]) -> None:
        """Tell the user what went."""
        self.recording.forget(keys)
        self._hook("on_revoked", self._user.on_revoked, keys)

    # --- inside -----------------------------------------------------------------------------

    def _flush(self, run: Run, until: float | None) -> None:
        """Write what handlers left in the transaction's session while it is known of which run."""
        try:
            self._store.flush()
        except Exception as error:
            failure = self._failure(run, None, error, until, before="perhaps")
            raise failure from failure.__cause__

    def _flushing(self, call: Callable[..., object]) -> Callable[[Any, Any], object]:
        """Let a handler write all that it has before its message counts as handled.

        Objects that the session would write later could not be blamed on a message any more, and
        would be lost with the session, after their message has settled.
        """

        def flushed(given: Any, session: Any) -> object:
            returned = call(given, session)
            self._store.flush()
            return returned

        return flushed

    def _stage(
        self,
        run: Run,
        messages: Sequence[Message[Any]],
        call: Callable[[], object],
        until: float | None,
        attempt: int,
        *,
        before: Before,
    ) -> None:
        began = time.monotonic()
        try:
            returned = call()
        except Exception as error:
            trace(self._watch, run, messages, attempt, "handle", began, error)
            offset = culprit(self._store, messages, error)
            failure = self._failure(run, offset, error, until, before=before)
            raise failure from failure.__cause__
        must_be_done(returned)
        trace(self._watch, run, messages, attempt, "handle", began, None)

    def _record(
        self,
        run: Run,
        messages: Sequence[Message[Any]],
        call: Callable[[Message[Any]], Any],
        until: float | None,
        attempt: int,
    ) -> None:
        """Ask the handler for the writes of each message, once; nothing is written here."""
        each = ([message] for message in messages)
        for part in each if self._watch.tracing else (messages,):
            began, remembered = time.monotonic(), self.recording.remembered
            try:
                self.recording.ask(part, call)
            except Exception as error:
                trace(self._watch, run, part, attempt, "handle", began, error)
                offset = self.recording.next[OFFSET]
                failure = self._failure(run, offset, error, until, before="untouched")
                raise failure from failure.__cause__
            if self.recording.remembered == remembered:  # else its handler was not asked
                trace(self._watch, run, part, attempt, "handle", began, None)
        in_time(until)

    def _failure(
        self,
        run: Run,
        offset: int | None,
        error: Exception,
        until: float | None,
        *,
        before: Before = "handled",
    ) -> Exception:
        """Return what the core is to know of ``error``."""
        return judged(run, offset, error, self._store.translate(error), until, before)

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
