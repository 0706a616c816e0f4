"""What goes into one transaction: what is ready, within bounds; nothing waits to fill a batch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from eoconsumer.core.applied import Applied
from eoconsumer.core.effects import Run
from eoconsumer.core.letters import DeadLetter
from eoconsumer.core.partition import Partition
from eoconsumer.core.positions import Move


@dataclass(frozen=True, slots=True)
class Batch:
    """The runs of one transaction, the letters to bury in it, and the moves it makes.

    ``applied`` has a line of the applied-log for each run; none where there is no such log.
    """

    runs: tuple[Run, ...]
    letters: tuple[DeadLetter, ...] = ()
    moves: tuple[Move, ...] = ()
    applied: tuple[Applied, ...] = ()

    @property
    def size(self) -> int:
        """The number of messages."""
        return sum(len(run.messages) for run in self.runs)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The upper bounds of one batch: messages, bytes, and partitions worked on at once."""

    messages: int
    size: int
    partitions: int | None = None


def gather(partitions: Iterable[Partition], bounds: Bounds) -> list[Run]:
    """Take the next runs within ``bounds``; a run that may fail comes alone."""
    ready = [p for p in partitions if p.pending]
    suspects = [p for p in ready if p.alone]
    for partition in suspects:
        run = partition.take(bounds.messages, bounds.size)
        if run is not None:
            return [run]
    taken: list[Run] = []
    messages, size = bounds.messages, bounds.size
    for partition in ready:
        if messages <= 0 or size <= 0 or len(taken) == bounds.partitions:
            break
        run = partition.take(messages, size)
        if run is not None:
            taken.append(run)
            messages -= len(run.messages)
            size -= run.size
    return taken


#: How many times as many messages the next batch may have. A small batch spends most of its time on
#: the round trips, so its rate promises too little rather than too much.
GROWTH = 16


class Pace:
    """How many messages fit into the time that a transaction may take.

    The limit is the measured rate times ``target`` seconds; it grows at most ``GROWTH``-fold from
    one batch to the next, and starts small, since nothing is known of a new handler. It also keeps
    the operations of one transaction, as far as they are known, below ``operations``.
    """

    def __init__(self, target: float, operations: int, first: int = 250) -> None:
        """Aim at transactions of ``target`` seconds; begin with ``first`` messages."""
        self._target = target
        self._operations = operations
        self.limit = first

    def measured(self, messages: int, seconds: float, operations: int = 0) -> None:
        """Learn from a batch that committed, with so many ``operations`` of its handlers."""
        if messages and seconds > 0:
            fitting = int(messages / seconds * self._target)
            ceiling = max(self.limit, messages * GROWTH)
            if operations:
                ceiling = min(ceiling, self._operations * messages // operations)
            self.limit = max(1, min(fitting, ceiling))

    def refused(self) -> None:
        """Learn from a batch that the database did not take: a shorter one conflicts with less."""
        self.limit = max(1, self.limit // 2)

    def too_slow(self, messages: int) -> None:
        """Learn from a batch of ``messages`` that ran out of time."""
        self.limit = max(1, messages // 8)
