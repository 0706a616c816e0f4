"""Applies dead letters: the driver of ``core.redrive``, in the task that calls it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from eoconsumer.config import Config
from eoconsumer.core import effects as fx
from eoconsumer.core.letters import Letter, Selection
from eoconsumer.core.redrive import STEPS, Redrive, Redriven
from eoconsumer.message import Message
from eoconsumer.protocols import AsyncScope, AsyncStore, AsyncStoreSession, AsyncTransaction
from eoconsumer.runner.redrive import PAGE, redriver_name
from eoconsumer.runner.user import User
from eoconsumer.runner.watch import Watch
from eoconsumer.runner_async.driving import drive
from eoconsumer.runner_async.user import AsyncWork


async def redrive(
    config: Config,
    store: AsyncStore[Any],
    user: User,
    watch: Watch,
    which: Selection,
    limit: int | None,
) -> Redriven:
    """Give letters of ``config.group`` to their handlers once more, in the mode of ``config``."""
    await store.setup()
    steps = Redrive(STEPS[config.mode], config.group, which, limit, applied_log=config.applied_log)
    session = await store.open(config.group, redriver_name())
    try:
        work = AsyncWork(user, watch, session)
        result: Redriven = await drive(steps.run(), AsyncRedriver(store, session, work).carry_out)
    finally:
        await session.close()  # rolls back what a cancellation has left open
    return result


class AsyncRedriver:
    """Carries out the effects of one ``Redrive``."""

    def __init__(
        self, store: AsyncStore[Any], session: AsyncStoreSession[Any], work: AsyncWork
    ) -> None:
        """Read from ``store``, and write through ``session``."""
        self._store = store
        self._session = session
        self._work = work
        self._transaction: AsyncTransaction[Any] | None = None
        self._until: float | None = None
        self._at_once: dict[type, Callable[[], float]] = {
            fx.Now: time.monotonic,
            fx.Chance: random.random,
        }
        self._how: dict[type, Callable[[Any], Any]] = {
            fx.FindLetters: self._find,
            fx.View: self._view,
            fx.Begin: self._begin,
            fx.Remove: lambda effect: self._scope.remove(effect.letter),
            fx.Handle: self._handle,
            fx.Write: self._write,
            fx.NoteApplied: lambda effect: self._scope.note_applied(effect.lines),
            fx.Lift: lambda effect: self._open.lift(effect.key),
            fx.Commit: self._commit,
            fx.Abort: self._abort,
            fx.AfterCommit: lambda effect: work.after_commit(effect.runs),
            fx.NoteFailure: lambda effect: session.note_failure(effect.letter, effect.error),
            fx.Bury: lambda effect: session.bury(effect.letters),
            fx.Sleep: lambda effect: asyncio.sleep(effect.seconds),
        }

    async def carry_out(self, effect: fx.Effect) -> Any:
        """Do what ``effect`` asks for."""
        kind = type(effect)
        return self._at_once[kind]() if kind in self._at_once else await self._how[kind](effect)

    @property
    def _scope(self) -> AsyncScope[Any]:
        return self._transaction or self._session

    @property
    def _open(self) -> AsyncTransaction[Any]:
        assert self._transaction is not None, "the core begins a transaction first"
        return self._transaction

    async def _find(self, effect: fx.FindLetters) -> Sequence[Letter]:
        return await self._store.letters(Selection(effect.group), effect.after, PAGE)

    async def _view(self, effect: fx.View) -> Message[Any]:
        record = effect.letter.record
        (message,) = await self._work.views(record.topic_name, [record])
        return message

    async def _begin(self, _: fx.Begin) -> None:
        self._transaction = await self._session.transaction()
        seconds = self._store.transaction_seconds
        self._until = None if seconds is None else time.monotonic() + seconds

    async def _handle(self, effect: fx.Handle) -> None:
        inside = self._transaction is not None
        until = self._until if inside else None
        self._work.recording.start()  # one letter at a time
        await self._work.handle(
            effect.run, self._scope.session, attempt=1, inside=inside, until=until
        )

    async def _write(self, _: fx.Write) -> None:
        inside = self._transaction is not None
        until = self._until if inside else None
        await self._work.write(self._scope, inside=inside, until=until)

    async def _commit(self, _: fx.Commit) -> None:
        await self._open.commit()
        self._transaction = None

    async def _abort(self, _: fx.Abort) -> None:
        if self._transaction is not None:
            await self._transaction.abort()
            self._transaction = None
