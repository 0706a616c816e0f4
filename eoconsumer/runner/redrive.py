"""Applies or drops dead letters: the driver of ``core.redrive``, on the thread that calls it."""

from __future__ import annotations

import os
import random
import socket
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from eoconsumer.config import Config
from eoconsumer.core import effects as fx
from eoconsumer.core.letters import Letter, Selection
from eoconsumer.core.redrive import STEPS, Redrive, Redriven, dropped
from eoconsumer.message import Message
from eoconsumer.protocols import Store, StoreSession, Transaction
from eoconsumer.runner.driving import drive
from eoconsumer.runner.user import User, Work
from eoconsumer.runner.watch import Watch

#: How many letters are read at a time.
PAGE = 100


def redrive(
    config: Config,
    store: Store[Any],
    user: User,
    watch: Watch,
    which: Selection,
    limit: int | None,
) -> Redriven:
    """Give letters of ``config.group`` to their handlers once more, in the mode of ``config``."""
    store.setup()
    steps = Redrive(STEPS[config.mode], config.group, which, limit, applied_log=config.applied_log)
    with closing(_open(store, config.group)) as session:
        work = Work(user, watch, session)
        result: Redriven = drive(steps.run(), Redriver(store, session, work).carry_out)
    return result


def drop(store: Store[Any], group: str, which: Selection, limit: int | None) -> Redriven:
    """Remove letters of ``group`` for good."""
    with closing(_open(store, group)) as session:
        nobody = Redriver(store, session, None)
        result: Redriven = drive(Redrive(dropped, group, which, limit).run(), nobody.carry_out)
    return result


def _open(store: Store[Any], group: str) -> StoreSession[Any]:
    return store.open(group, redriver_name())


def redriver_name() -> str:
    """Return a name for a redrive of this process that no other ever has."""
    return f"{socket.gethostname()}:{os.getpid()}:redrive:{uuid.uuid4().hex}"


class Redriver:
    """Carries out the effects of one ``Redrive``; without ``work`` there is nothing to apply."""

    def __init__(self, store: Store[Any], session: StoreSession[Any], work: Work | None) -> None:
        """Read from ``store``, and write through ``session``."""
        self._store = store
        self._session = session
        self._work = work
        self._transaction: Transaction[Any] | None = None
        self._until: float | None = None
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
            fx.AfterCommit: self._after_commit,
            fx.NoteFailure: lambda effect: session.note_failure(effect.letter, effect.error),
            fx.Bury: lambda effect: session.bury(effect.letters),
            fx.Now: lambda _: time.monotonic(),
            fx.Chance: lambda _: random.random(),
            fx.Sleep: lambda effect: time.sleep(effect.seconds),
        }

    def carry_out(self, effect: fx.Effect) -> Any:
        """Do what ``effect`` asks for."""
        return self._how[type(effect)](effect)

    @property
    def _scope(self) -> Transaction[Any] | StoreSession[Any]:
        return self._transaction or self._session

    @property
    def _open(self) -> Transaction[Any]:
        assert self._transaction is not None, "the core begins a transaction first"
        return self._transaction

    def _find(self, effect: fx.FindLetters) -> Sequence[Letter]:
        return self._store.letters(Selection(effect.group), effect.after, PAGE)

    def _view(self, effect: fx.View) -> Message[Any]:
        letter = effect.letter
        return letter.message if self._work is None else self._work.view(letter.record)

    def _begin(self, _: fx.Begin) -> None:
        self._transaction = self._session.transaction()
        seconds = self._store.transaction_seconds
        self._until = None if seconds is None else time.monotonic() + seconds

    def _handle(self, effect: fx.Handle) -> None:
        assert self._work is not None, "there is nothing to apply to letters that are dropped"
        inside = self._transaction is not None
        until = self._until if inside else None
        self._work.recording.start()  # one letter at a time
        self._work.handle(effect.run, self._scope.session, attempt=1, inside=inside, until=until)

    def _write(self, _: fx.Write) -> None:
        assert self._work is not None
        inside = self._transaction is not None
        until = self._until if inside else None
        self._work.write(self._scope, inside=inside, until=until)

    def _after_commit(self, effect: fx.AfterCommit) -> None:
        assert self._work is not None
        self._work.after_commit(effect.runs)

    def _commit(self, _: fx.Commit) -> None:
        self._open.commit()
        self._transaction = None

    def _abort(self, _: fx.Abort) -> None:
        if self._transaction is not None:
            self._transaction.abort()
            self._transaction = None
