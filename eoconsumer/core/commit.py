"""How positions get into the store, and how a lost answer is resolved: by the position itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from eoconsumer.core.batching import Batch
from eoconsumer.core.effects import (
    Advance,
    Commit,
    CommitGroup,
    Effects,
    Now,
    ReadPositions,
    Report,
    Run,
)
from eoconsumer.core.modes import Mode
from eoconsumer.core.ownership import Ownership
from eoconsumer.core.positions import Move, Position
from eoconsumer.core.settings import Settings
from eoconsumer.errors import BrokerError, CommitInDoubt, Fenced, StoreError, TransientStoreError
from eoconsumer.message import TopicPartition


class Commits(Ownership):
    """The moves of a reader's partitions, in a transaction or on their own."""

    def __init__(self, settings: Settings) -> None:
        """Have nothing to store yet."""
        super().__init__(settings)
        self.unstored_messages = 0
        self._advance_at = 0.0

    # --- which moves ------------------------------------------------------------------------

    def moves(self, runs: Sequence[Run], now: float) -> tuple[Move, ...]:
        """Return the moves that belong to a batch of ``runs``, by the mode."""
        ahead = tuple(
            move
            for move in (self.partitions[run.partition].move(run) for run in runs)
            if move.upto > move.expected
        )
        if self.settings.mode is not Mode.AT_LEAST_ONCE:
            return ahead
        if not self.advance_is_due(now, coming=sum(map(len, runs))):
            return ()
        here = {run.partition for run in runs}
        return (*ahead, *(move for move in self.unstored() if move.partition not in here))

    def unstored(self) -> tuple[Move, ...]:
        """Return the moves of what was handled and is not stored yet (at-least-once)."""
        if self.settings.mode is not Mode.AT_LEAST_ONCE:
            return ()
        ahead = (p for p in self.partitions.values() if p.live and p.position > p.stored)
        return tuple(p.move() for p in ahead)

    def advance_is_due(self, now: float, coming: int = 0) -> bool:
        """Whether ``commit_batch`` messages (with ``coming`` more) or the interval are reached."""
        messages = self.unstored_messages + coming
        return messages > 0 and (messages >= self.settings.commit_batch or now >= self._advance_at)

    def finish(self) -> Effects[None]:
        """Store what was handled and is not stored yet, before partitions go."""
        moves = self.unstored()
        if not moves:
            return
        try:
            yield from self.advance(moves)
        except Fenced as fenced:
            yield from self.fence(fenced.partitions)
        except (StoreError, BrokerError) as error:
            # At-least-once: the next owner handles these messages once more.
            yield Report("advance_failed", {"error": error})

    # --- outside a transaction --------------------------------------------------------------

    def advance(self, moves: tuple[Move, ...]) -> Effects[None]:
        """Write ``moves`` on their own, again while the database asks for it."""
        if not moves:  # what was handled has been fenced or lost meanwhile
            self.unstored_messages = 0
            return
        gone: set[TopicPartition] = set()
        if self.settings.positions == "kafka":
            yield CommitGroup({move.partition: move.upto for move in moves})
        else:
            gone = yield from self._write(moves)
        for move in moves:
            if move.partition not in gone:
                self.partitions[move.partition].stored = move.upto
        self.unstored_messages = 0
        now: float = yield Now()
        self._advance_at = now + self.settings.commit_interval
        if gone:
            raise Fenced(gone)

    def _write(self, moves: tuple[Move, ...]) -> Effects[set[TopicPartition]]:
        """Write ``moves``; return the partitions that another consumer owns now."""
        try:
            yield from self.insist(
                Advance(moves), "store our positions, and the messages will be read again"
            )
        except Fenced as fenced:
            # 1. our write arrived, 2. its answer was lost, 3. the retry found the row moved:
            # the row is still ours and stands where we wanted it, so nobody fenced us.
            return set(fenced.partitions) - (yield from self._landed(moves))
        return set()

    # --- a transaction's commit -------------------------------------------------------------

    def commit(self, batch: Batch) -> Effects[None]:
        """Commit; after a lost answer repeat the commit, never the body; then ask the position."""
        began: float = yield Now()
        tries = 0
        while True:
            try:
                yield Commit()
                break
            except CommitInDoubt as error:
                tries += 1
                now: float = yield Now()
                if now - began >= self.settings.commit_timeout:
                    yield from self._oracle(batch, error, tries)
                    break
                yield from self.back_off(tries)
        if tries:
            yield Report("in_doubt_resolved", {"committed": True, "tries": tries})

    def _oracle(self, batch: Batch, doubt: CommitInDoubt, tries: int) -> Effects[None]:
        """Return if the position says that ``batch`` is committed; else let it be done again."""
        there = yield from self._landed(batch.moves)
        # All of them: an earlier try of ours may have landed late, with fewer partitions in it.
        if len(there) == len(batch.moves):
            return
        yield Report("in_doubt_resolved", {"committed": False, "tries": tries})
        raise TransientStoreError(
            "The commit's answer was lost and the position says that it did not happen; the batch "
            "is done again. The position compare makes a late commit of the first one harmless."
        ) from doubt

    def _landed(self, moves: Iterable[Move]) -> Effects[set[TopicPartition]]:
        """Return which of ``moves`` the store shows as done under our own epoch."""
        wanted = {move.partition: move for move in moves}
        rows: dict[TopicPartition, Position] = yield from self.insist(
            ReadPositions(tuple(wanted)),
            "tell what is stored, and it will be asked by the next claim",
        )
        return {
            key
            for key, row in rows.items()
            if row.epoch == wanted[key].epoch and row.next_offset == wanted[key].upto
        }
