"""The user's side of a reader: handlers and hooks that are awaited; see ``runner.user``."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from inspect import isawaitable
from typing import Any

from eoconsumer.codecs import Decode, JsonDecoder
from eoconsumer.core.effects import Before, Run
from eoconsumer.errors import TransientStoreError, WriteFailed
from eoconsumer.message import (
    OFFSET,
    PAYLOAD,
    Message,
    Messages,
    RawMessage,
    TopicPartition,
    Undecoded,
)
from eoconsumer.protocols import AsyncScope, AsyncStoreSession
from eoconsumer.runner.judging import culprit, in_time, judged, must_be_done, trace
from eoconsumer.runner.recording import Recording
from eoconsumer.runner.undecoded import first_undecoded, reading
from eoconsumer.runner.user import User
from eoconsumer.runner.watch import Watch
from eoconsumer.runner_async.waiting import FAILURES, not_ours

log = logging.getLogger("eoconsumer.hooks")


class AsyncWork:
    """Runs the user's handler over one run, in a transaction or outside of one."""

    def __init__(self, user: User, watch: Watch, store: AsyncStoreSession[Any]) -> None:
        """``store`` tells a transient error of the database from an error of the handler."""
        self._user = user
        self._watch = watch
        self._store = store
        self.recording = Recording(store)

    async def views(self, topic: str, raw: Sequence[RawMessage]) -> Messages[Any]:
        """Return messages of one topic as their handler sees them."""
        route = self._user.routes.of(topic)
        if route.decode is None or isinstance(route.decode, JsonDecoder):
            return route.view(raw)
        return Messages(raw, [await _decoded(route.decode, message) for message in raw])

    async def handle(
        self, run: Run, session: Any, *, attempt: int, inside: bool, until: float | None
    ) -> None:
        """Give the live messages of ``run`` to their handler; see ``Work.handle``."""
        messages = run.live
        if not messages:
            return
        route = self._user.routes.of(run.partition.topic)
        undecoded = first_undecoded(messages)
        handler = route.call if undecoded is None else reading(route.call)
        if route.form == "writes":
            await self._record(run, messages, handler, until, attempt)
            return
        call_handler = handler if inside else self._flushing(handler)
        if route.form == "batch" and undecoded is not None:
            call = partial(getattr, undecoded, "value")  # it raises
            await self._stage(run, messages, call, until, attempt, before="untouched")
        elif route.form == "batch":
            call = partial(call_handler, list(messages), session)
            await self._stage(run, messages, call, until, attempt, before="perhaps")
        elif self._watch.tracing:
            for message in messages:
                call = partial(call_handler, message, session)
                await self._stage(run, [message], call, until, attempt, before="handled")
        else:
            for message in messages:
                try:
                    returned = await call_handler(message, session)
                except FAILURES as error:
                    not_ours(error)
                    failure = await self._failure(run, message.offset, error, until)
                    raise failure from failure.__cause__
                if returned is not None:
                    must_be_done(returned)
                if until is not None and time.monotonic() > until:
                    in_time(until)
        if inside:
            await self._flush(run, until)
        in_time(until)

    async def write(self, scope: AsyncScope[Any], *, inside: bool, until: float | None) -> int:
        """Send the recorded writes in one go; see ``Work.write``."""
        writes = self.recording.writes
        if not writes:
            return 0
        try:
            await scope.write(writes)
        except (WriteFailed, TransientStoreError) as error:
            if isinstance(error, TransientStoreError):
                in_time(until)  # the server itself ends a transaction that lives too long
            found = self.recording.refused(error, inside=inside)
            raise found from found.__cause__
        in_time(until)
        return len(writes)

    async def after_commit(self, runs: Sequence[Run]) -> None:
        """Run the stages after the commit; an error is logged and counted, nothing else."""
        self.recording.settle(runs)
        if self._user.after_commit is None:
            return
        after_commit: Callable[..., Any] = self._user.after_commit
        for run in runs:
            began = time.monotonic()
            error: BaseException | None = None
            try:
                if run.live:
                    await after_commit(list(run.live))
            except FAILURES as raised:
                not_ours(raised)
                error = raised
                log.exception("after_commit failed for %s; its messages stay done", run.partition)
                self._watch.report("stage_failed", {"error": raised, "messages": len(run.live)})
            trace(self._watch, run, run.live, 1, "after_commit", began, error)

    async def assigned(self, keys: Sequence[TopicPartition]) -> None:
        """Tell the user what came."""
        await self._hook("on_assigned", self._user.on_assigned, keys)

    async def revoked(self, keys: Sequence[TopicPartition]) -> None:
        """Tell the user what went."""
        self.recording.forget(keys)
        await self._hook("on_revoked", self._user.on_revoked, keys)

    # --- inside -----------------------------------------------------------------------------

    async def _flush(self, run: Run, until: float | None) -> None:
        """Write what handlers left in the transaction's session; see ``Work``."""
        try:
            await self._store.flush()
        except Exception as error:
            failure = await self._failure(run, None, error, until, before="perhaps")
            raise failure from failure.__cause__

    def _flushing(
        self, call: Callable[..., Awaitable[object]]
    ) -> Callable[[Any, Any], Awaitable[object]]:
        """Let a handler write all that it has; see ``Work``."""

        async def flushed(given: Any, session: Any) -> object:
            returned = await call(given, session)
            await self._store.flush()
            return returned

        return flushed

    async def _stage(
        self,
        run: Run,
        messages: Sequence[Message[Any]],
        call: Callable[[], Any],
        until: float | None,
        attempt: int,
        *,
        before: Before,
    ) -> None:
        began = time.monotonic()
        try:
            returned = await call()
        except FAILURES as error:
            not_ours(error)
            trace(self._watch, run, messages, attempt, "handle", began, error)
            offset = culprit(self._store, messages, error)
            failure = await self._failure(run, offset, error, until, before=before)
            raise failure from failure.__cause__
        must_be_done(returned)
        trace(self._watch, run, messages, attempt, "handle", began, None)
        in_time(until)

    async def _record(
        self,
        run: Run,
        messages: Sequence[Message[Any]],
        call: Callable[..., Any],
        until: float | None,
        attempt: int,
    ) -> None:
        """Ask the handler for the writes of each message, once; nothing is written here."""
        each = ([message] for message in messages)
        for part in each if self._watch.tracing else (messages,):
            began, remembered = time.monotonic(), self.recording.remembered
            try:
                await self._ask(part, call)
            except FAILURES as error:
                not_ours(error)
                trace(self._watch, run, part, attempt, "handle", began, error)
                offset = self.recording.next[OFFSET]
                failure = await self._failure(run, offset, error, until, before="untouched")
                raise failure from failure.__cause__
            if self.recording.remembered == remembered:  # else its handler was not asked
                trace(self._watch, run, part, attempt, "handle", began, None)
        in_time(until)

    async def _ask(self, messages: Sequence[Message[Any]], call: Callable[..., Any]) -> None:
        """Record what ``call`` returns, or promises, for each of ``messages``."""
        recording = self.recording
        recording.expect(messages)
        again, single = recording.remembered > 0, recording.single
        for message in messages:
            if again and recording.knows_next():
                continue
            returned = call(message)
            kind = type(returned)
            if kind not in single and kind is not list:
                if hasattr(kind, "__await__"):
                    returned = await returned
                elif hasattr(kind, "__aiter__"):
                    returned = [write async for write in returned]
            recording.add(returned)

    async def _failure(
        self,
        run: Run,
        offset: int | None,
        error: BaseException,
        until: float | None,
        *,
        before: Before = "handled",
    ) -> Exception:
        """Return what the core is to know of ``error``."""
        return judged(run, offset, error, await self._store.translate(error), until, before)

    async def _hook(
        self, name: str, hook: Callable[..., Any], keys: Sequence[TopicPartition]
    ) -> None:
        if not keys:
            return
        try:
            await hook(list(keys))
        except FAILURES as error:
            not_ours(error)
            log.exception("%s failed for %s; the consumer goes on", name, ", ".join(map(str, keys)))


async def _decoded(decode: Decode, raw: RawMessage) -> Any:
    """Return the decoded value of ``raw``; the decoder may be awaited, and may not."""
    try:
        value = decode(Message(raw, raw[PAYLOAD]))
        return await value if isawaitable(value) else value
    except FAILURES as error:
        not_ours(error)
        return Undecoded(error)
