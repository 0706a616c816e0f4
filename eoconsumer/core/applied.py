"""The applied-log: what each run applied, so that it can be compared with the topic afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eoconsumer.message import TopicPartition

#: The epoch of a line that no owner wrote: of a dead letter that was redriven. Its place in the
#: order of a partition is a later one, and tells nothing.
REDRIVEN = 0


@dataclass(frozen=True, slots=True)
class Applied:
    """What one run applied: one line of the log.

    ``ranges`` holds the offsets that the handler got, in its order, as pairs of the first one and
    the one behind the last; ``passed`` those that passed it by, skipped or buried. ``epoch`` and
    ``number`` say in which order the lines of a partition were written: the epoch grows with each
    claim, and an owner counts its lines.
    """

    partition: TopicPartition
    epoch: int
    number: int
    ranges: tuple[tuple[int, int], ...]
    passed: tuple[int, ...] = ()

    @property
    def first(self) -> int:
        """The lowest offset in it."""
        return min((*(first for first, _ in self.ranges), *self.passed))

    @property
    def upto(self) -> int:
        """The offset behind the highest one in it."""
        return max((*(upto for _, upto in self.ranges), *(offset + 1 for offset in self.passed)))

    @property
    def offsets(self) -> Iterable[int]:
        """The offsets that the handler got, in its order."""
        return (offset for first, upto in self.ranges for offset in range(first, upto))


def ranges(offsets: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Return ``offsets`` as pairs of a first one and the one behind the last, in their order."""
    found: list[tuple[int, int]] = []
    for offset in offsets:
        if found and found[-1][1] == offset:
            found[-1] = (found[-1][0], offset + 1)
        else:
            found.append((offset, offset + 1))
    return tuple(found)


def within(log: Sequence[Applied], first: int, upto: int) -> list[Applied]:
    """Return the lines that reach into the offsets from ``first`` to ``upto``, by their first."""
    return sorted((e for e in log if e.first < upto and e.upto > first), key=lambda e: e.first)
