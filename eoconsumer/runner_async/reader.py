"""One reader: a task with its own session, driven by the core; its subclasses know its source."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from eoconsumer.core import effects as fx
from eoconsumer.core.flow import Flow
from eoconsumer.core.positions import Claims, Position
from eoconsumer.errors import BrokerError, EOConsumerError, Fenced, StoreError
from eoconsumer.message import Messages, RawMessage, TopicPartition
from eoconsumer.protocols import AsyncStoreSession, AsyncTransaction
from eoconsumer.runner.user import User
from eoconsumer.runner.watch import Watch
from eoconsumer.runner_async.driving import drive
from eoconsumer.runner_async.user import AsyncWork
from eoconsumer.runner_async.waiting import LoopFlag

log = logging.getLogger("eoconsumer.reader")
Fetched = Mapping[TopicPartition, Sequence[RawMessage]]


class AsyncReader:
    """Carries out the effects of one ``Flow``, but for those that concern its source."""

    def __init__(
        self,
        flow: Flow,
        store: AsyncStoreSession[Any],
        user: User,
        watch: Watch,
        stopping: LoopFlag,
        transaction_seconds: float | None,
    ) -> None:
        """Take what a reader owns: it closes ``store`` at its end."""
        self.flow = flow
        self._store = store
        self._user = user
        self._watch = watch
        self._stopping = stopping
        self._seconds = transaction_seconds
        self._work = AsyncWork(user, watch, store)
        self._transaction: AsyncTransaction[Any] | None = None
        self._until: float | None = None
        self.moved = False  # whether anything was committed
        self._awaited: dict[type, Callable[[Any], Any]] = {
            effect: getattr(self, f"_{name}") for effect, name in _AWAITED.items()
        }

    async def run(self) -> None:
        """Read until stop is asked for; raises what the core could not recover from.

        Where it is cancelled, what is in hand is rolled back, and what is ours is given up.
        """
        try:
            await self._join()
            # Of this task, which is ours, none has been heeded before.
            await drive(self.flow.read(), self._carry_out, heeded=0)
        except BaseException as error:
            await self._let_go(lost=isinstance(error, BrokerError | StoreError))
            raise
        finally:
            try:
                await self._leave()
            finally:
                await self._store.close()

    async def _drive(self, effects: fx.Effects[None]) -> None:
        """Do what ``effects`` asks for, one after the other."""
        await drive(effects, self._carry_out)

    async def _carry_out(self, effect: fx.Effect) -> Any:
        kind = type(effect)
        return _AT_ONCE[kind]() if kind in _AT_ONCE else await self._awaited[kind](effect)

    # --- where messages come from ---------------------------------------------------------------

    async def _join(self) -> None:
        """Begin to get partitions."""
        raise NotImplementedError

    async def _leave(self) -> None:
        """Get no more."""
        raise NotImplementedError

    async def _fetch(self, effect: fx.Poll) -> Fetched | None:
        """Return what came, by partition; None once stop was asked for."""
        raise NotImplementedError

    @property
    def _lost_in_flight(self) -> Collection[TopicPartition]:
        """What is known to be lost, though the flow has not been told yet: it is at work."""
        raise NotImplementedError

    # --- the life of a reader -------------------------------------------------------------------

    async def _let_go(self, *, lost: bool) -> None:
        """Give up what is ours after a failure, as well as it goes."""
        if self._transaction is not None:
            await self._abort(fx.Abort())
        try:
            await self._drive(self.flow.revoked(list(self.flow.partitions), lost=lost))
        except EOConsumerError as error:
            log.warning("not everything could be given up in order: %s", error)

    async def _poll(self, effect: fx.Poll) -> dict[TopicPartition, Messages[Any]] | None:
        polled = await self._fetch(effect)
        if polled is None:
            return None
        return {key: await self._work.views(key.topic, raw) for key, raw in polled.items()}

    # --- the store --------------------------------------------------------------------------

    async def _claim(self, effect: fx.Claim) -> Claims:
        self._work.recording.forget(effect.partitions)  # they are fetched anew
        return await self._store.claim(effect.partitions, effect.starts)

    async def _read_positions(self, effect: fx.ReadPositions) -> dict[TopicPartition, Position]:
        return await self._store.positions(effect.partitions)

    async def _release(self, effect: fx.Release) -> None:
        await self._store.release(effect.moves)

    async def _begin(self, _: fx.Begin) -> None:
        self._transaction = await self._store.transaction()
        self._until = None if self._seconds is None else time.monotonic() + self._seconds
        self._work.recording.start()

    async def _handle(self, effect: fx.Handle) -> None:
        run = effect.run
        partition = self.flow.partitions[run.partition]
        scope = self._transaction or self._store
        if self._transaction is None:
            self._work.recording.start()  # each run is written on its own
        inside = self._transaction is not None
        until = self._until if inside else None
        attempt = partition.tries + 1 if partition.alone else 1
        await self._work.handle(run, scope.session, attempt=attempt, inside=inside, until=until)

    async def _write(self, _: fx.Write) -> int:
        inside = self._transaction is not None
        until = self._until if inside else None
        scope = self._transaction or self._store
        return await self._work.write(scope, inside=inside, until=until)

    async def _bury(self, effect: fx.Bury) -> None:
        await (self._transaction or self._store).bury(effect.letters)

    async def _note_applied(self, effect: fx.NoteApplied) -> None:
        await (self._transaction or self._store).note_applied(effect.lines)

    async def _advance(self, effect: fx.Advance) -> None:
        lost = {m.partition for m in effect.moves}.intersection(self._lost_in_flight)
        ours = [move for move in effect.moves if move.partition not in lost]
        if ours and not (lost and self._transaction):
            await (self._transaction or self._store).advance(ours)
        if lost:
            raise Fenced(lost)

    async def _commit(self, _: fx.Commit) -> None:
        if self._transaction is not None:
            await self._transaction.commit()
            self._transaction = None

    async def _abort(self, _: fx.Abort) -> None:
        if self._transaction is not None:
            await self._transaction.abort()
            self._transaction = None
            self._work.recording.keep()

    # --- the user, and time -------------------------------------------------------------------

    async def _after_commit(self, effect: fx.AfterCommit) -> None:
        await self._work.after_commit(effect.runs)

    async def _assigned(self, effect: fx.Assigned) -> None:
        await self._work.assigned(effect.partitions)

    async def _revoked(self, effect: fx.Revoked) -> None:
        await self._work.revoked(effect.partitions)

    async def _sleep(self, effect: fx.Sleep) -> bool:
        if self._stopping.is_set():
            await asyncio.sleep(
                effect.seconds
            )  # what still has to be tried is not tried in a hurry
            return True
        return await self._stopping.wait(effect.seconds)

    async def _report(self, effect: fx.Report) -> None:
        self.moved = self.moved or effect.name == "committed"
        self._watch.report(effect.name, effect.details)


_AT_ONCE: dict[type, Callable[[], float]] = {fx.Now: time.monotonic, fx.Chance: random.random}
_AWAITED: dict[type, str] = {
    fx.Poll: "poll",
    fx.Claim: "claim",
    fx.ReadPositions: "read_positions",
    fx.Release: "release",
    fx.Begin: "begin",
    fx.Handle: "handle",
    fx.Write: "write",
    fx.Bury: "bury",
    fx.NoteApplied: "note_applied",
    fx.Advance: "advance",
    fx.Commit: "commit",
    fx.Abort: "abort",
    fx.AfterCommit: "after_commit",
    fx.Assigned: "assigned",
    fx.Revoked: "revoked",
    fx.Sleep: "sleep",
    fx.Report: "report",
}
