"""One reader: a thread with its own Kafka client and its own session, driven by the core."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import Any

from eoconsumer.core import effects as fx
from eoconsumer.core.flow import Flow
from eoconsumer.core.positions import Claims, Position
from eoconsumer.errors import BrokerError, EOConsumerError, Fenced, StoreError
from eoconsumer.message import Messages, TopicPartition
from eoconsumer.protocols import Source, StoreSession, Transaction
from eoconsumer.runner.driving import drive
from eoconsumer.runner.fetching import Fetching
from eoconsumer.runner.flag import Flag
from eoconsumer.runner.user import User, Work
from eoconsumer.runner.watch import Watch

log = logging.getLogger("eoconsumer.reader")


class Reader:
    """Carries out the effects of one ``Flow`` on real servers."""

    def __init__(
        self,
        flow: Flow,
        source: Source,
        store: StoreSession[Any],
        user: User,
        watch: Watch,
        stopping: Flag,
        transaction_seconds: float | None,
    ) -> None:
        """Take what a reader owns: it closes ``source`` and ``store`` at its end."""
        self.flow = flow
        self._fetching = Fetching(flow, source, stopping.is_set, self.drive)
        self._store = store
        self._user = user
        self._watch = watch
        self._stopping = stopping
        self._seconds = transaction_seconds
        self._work = Work(user, watch, store)
        self._transaction: Transaction[Any] | None = None
        self._until: float | None = None
        self.moved = False  # whether anything was committed
        self._carry_out: dict[type, Callable[[Any], Any]] = {
            **self._fetching.carry_out,
            **{effect: getattr(self, f"_{name}") for effect, name in _METHODS.items()},
        }

    def run(self) -> None:
        """Read until stop is asked for; raises what the core could not recover from."""
        try:
            self._fetching.start(self._user.routes.topics)
            self.drive(self.flow.read())
        except BaseException as error:
            self._let_go(lost=isinstance(error, BrokerError | StoreError))
            raise
        finally:
            try:
                self._fetching.stop()
            finally:
                self._store.close()

    def drive(self, effects: fx.Effects[None]) -> None:
        """Do what ``effects`` asks for, one after the other."""
        carry_out = self._carry_out
        drive(effects, lambda effect: carry_out[type(effect)](effect))

    def _let_go(self, *, lost: bool) -> None:
        """Give up what is ours after a failure, as well as it goes."""
        if self._transaction is not None:
            self._abort(fx.Abort())
        try:
            self.drive(self.flow.revoked(list(self.flow.partitions), lost=lost))
        except EOConsumerError as error:
            log.warning("not everything could be given up in order: %s", error)

    def _poll(self, effect: fx.Poll) -> dict[TopicPartition, Messages[Any]] | None:
        polled = self._fetching.poll(effect)
        if polled is None:
            return None
        routes = self._user.routes
        return {key: routes.of(key.topic).view(messages) for key, messages in polled.items()}

    # --- the store --------------------------------------------------------------------------

    def _claim(self, effect: fx.Claim) -> Claims:
        self._work.recording.forget(effect.partitions)  # they are fetched anew
        return self._store.claim(effect.partitions, effect.starts)

    def _read_positions(self, effect: fx.ReadPositions) -> dict[TopicPartition, Position]:
        return self._store.positions(effect.partitions)

    def _release(self, effect: fx.Release) -> None:
        self._store.release(effect.moves)

    def _begin(self, _: fx.Begin) -> None:
        self._transaction = self._store.transaction()
        self._until = None if self._seconds is None else time.monotonic() + self._seconds
        self._work.recording.start()

    def _handle(self, effect: fx.Handle) -> None:
        run = effect.run
        partition = self.flow.partitions[run.partition]
        scope = self._transaction or self._store
        if self._transaction is None:
            self._work.recording.start()  # each run is written on its own
        inside = self._transaction is not None
        until = self._until if inside else None
        attempt = partition.tries + 1 if partition.alone else 1
        self._work.handle(run, scope.session, attempt=attempt, inside=inside, until=until)

    def _write(self, _: fx.Write) -> int:
        inside = self._transaction is not None
        until = self._until if inside else None
        scope = self._transaction or self._store
        return self._work.write(scope, inside=inside, until=until)

    def _bury(self, effect: fx.Bury) -> None:
        (self._transaction or self._store).bury(effect.letters)

    def _note_applied(self, effect: fx.NoteApplied) -> None:
        (self._transaction or self._store).note_applied(effect.lines)

    def _advance(self, effect: fx.Advance) -> None:
        lost = self._fetching.lost_in_flight.intersection(m.partition for m in effect.moves)
        ours = [move for move in effect.moves if move.partition not in lost]
        if ours and not (lost and self._transaction):
            (self._transaction or self._store).advance(ours)
        if lost:
            raise Fenced(lost)

    def _commit(self, _: fx.Commit) -> None:
        if self._transaction is not None:
            self._transaction.commit()
            self._transaction = None

    def _abort(self, _: fx.Abort) -> None:
        if self._transaction is not None:
            self._transaction.abort()
            self._transaction = None
            self._work.recording.keep()

    # --- the user, the clock, chance ----------------------------------------------------------

    def _after_commit(self, effect: fx.AfterCommit) -> None:
        self._work.after_commit(effect.runs)

    def _assigned(self, effect: fx.Assigned) -> None:
        self._work.assigned(effect.partitions)

    def _revoked(self, effect: fx.Revoked) -> None:
        self._work.revoked(effect.partitions)

    def _now(self, _: fx.Now) -> float:
        return time.monotonic()

    def _chance(self, _: fx.Chance) -> float:
        return random.random()

    def _sleep(self, effect: fx.Sleep) -> bool:
        if self._stopping.is_set():
            time.sleep(effect.seconds)  # what still has to be tried is not tried in a hurry
            return True
        return self._stopping.wait(effect.seconds)

    def _report(self, effect: fx.Report) -> None:
        self.moved = self.moved or effect.name == "committed"
        self._watch.report(effect.name, effect.details)


_METHODS: dict[type, str] = {
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
    fx.Now: "now",
    fx.Chance: "chance",
    fx.Sleep: "sleep",
    fx.Report: "report",
}
