"""Whether what a topic holds was applied once, and in order: pure, and offset by offset.

Everything comes sorted by offset and is seen once, so a partition of any length fits into memory.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from eoconsumer.core.applied import REDRIVEN, Applied
from eoconsumer.message import TopicPartition

_PRODUCED, _BURIED = object(), object()


class Mark(NamedTuple):
    """One effect of a message; ``line`` tells the effects of one message apart.

    ``order`` grows from one application to the next; None: it is not known. ``passed``: no effect,
    but the note that the message passed the handler by.
    """

    offset: int
    order: Any = None
    line: Any = None
    passed: bool = False


class Marker(NamedTuple):
    """By which fields a user's rows name the message that they came from.

    ``line`` tells the rows of one message apart; ``order`` grows from one application to the next.
    """

    collection: str
    topic: str
    partition: str
    offset: str
    line: str | None = None
    order: str | None = None


class Finding(NamedTuple):
    """One message with which something is wrong."""

    partition: TopicPartition
    offset: int
    detail: str = ""


#: What may be wrong with a message. ``lost``: no effect, and nothing that says why. ``doubled``:
#: applied more than once. ``out_of_order``: applied before the message that stands before it.
#: ``unknown``: an effect of an offset at which the topic has no message.
KINDS = ("lost", "doubled", "out_of_order", "unknown")


@dataclass
class Verdict:
    """What became of the messages.

    ``counts`` has every kind of finding and what is as it should be: "applied", "buried" (a dead
    letter), "passed" (skipped, or its letter was dropped), "not_yet". ``findings`` are the first
    ``keep`` of each kind; None: all of them.
    """

    keep: int | None = None
    counts: Counter[str] = field(default_factory=Counter)
    findings: dict[str, list[Finding]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    @property
    def right(self) -> bool:
        """Whether nothing is wrong."""
        return not any(self.counts[kind] for kind in KINDS)

    def find(self, kind: str, finding: Finding) -> None:
        """Note that something is wrong with a message."""
        self.counts[kind] += 1
        if self.keep is None or self.counts[kind] <= self.keep:
            self.findings[kind].append(finding)


@dataclass
class Comparison:
    """Compares one partition.

    A message from ``position`` on without an effect is not applied yet. In a ``compacted`` topic a
    message may be gone whose effect is there.
    """

    verdict: Verdict
    partition: TopicPartition
    position: int
    compacted: bool = False

    def run(self, produced: Iterable[int], marks: Iterable[Mark], buried: Iterable[int]) -> None:
        """Add to the verdict what became of the messages.

        ``produced``, ``marks`` and ``buried`` (the offsets of dead letters) are sorted by offset,
        and of the same range of it.
        """
        sources = (
            ((offset, _PRODUCED) for offset in produced),
            ((offset, _BURIED) for offset in buried),
            ((mark.offset, mark) for mark in marks),
        )
        before: tuple[int, Any] | None = None
        for offset, group in groupby(heapq.merge(*sources, key=itemgetter(0)), key=itemgetter(0)):
            found = [what for _, what in group]
            effects = [what for what in found if isinstance(what, Mark) and not what.passed]
            if _PRODUCED not in found:
                if effects and not self.compacted:
                    self._find("unknown", offset)
            elif not effects:
                self._explain(offset, found)
            else:
                self.verdict.counts["applied"] += 1
                times = max(Counter(mark.line for mark in effects).values())
                if times > 1:
                    self._find("doubled", offset, f"{times} times")
                order = min((m.order for m in effects if m.order is not None), default=None)
                if order is not None:
                    if before is not None and order < before[1]:
                        self._find("out_of_order", offset, f"before {before[0]}")
                    before = (offset, order)

    def _explain(self, offset: int, found: Sequence[object]) -> None:
        """Say why a message has no effect."""
        counts = self.verdict.counts
        if _BURIED in found:
            counts["buried"] += 1
        elif any(isinstance(what, Mark) for what in found):
            counts["passed"] += 1
        elif offset >= self.position:
            counts["not_yet"] += 1
        else:
            self._find("lost", offset)

    def _find(self, kind: str, offset: int, detail: str = "") -> None:
        self.verdict.find(kind, Finding(self.partition, offset, detail))


def passed_for_good(log: Iterable[Mark]) -> Iterator[Mark]:
    """Return the notes of a log, sorted by offset, that tell why a message has no effect.

    A dead letter that was redriven passed the handler by once, and has to have its effect now.
    """
    for _, group in groupby(log, key=itemgetter(0)):
        marks = [*group]
        if all(mark.passed for mark in marks):
            yield from marks


def from_log(log: Iterable[Applied]) -> Iterator[Mark]:
    """Return the marks of an applied-log whose lines come sorted by their first offset."""
    waiting: list[tuple[int, int, Mark]] = []  # lines of a damaged log overlap
    for number, line in enumerate(log):
        while waiting and waiting[0][0] < line.first:
            yield heapq.heappop(waiting)[2]
        known = line.epoch != REDRIVEN
        marks = [
            Mark(offset, (line.epoch, line.number, place) if known else None)
            for place, offset in enumerate(line.offsets)
        ]
        for mark in (*marks, *(Mark(offset, passed=True) for offset in line.passed)):
            heapq.heappush(waiting, (mark.offset, number, mark))
    while waiting:
        yield heapq.heappop(waiting)[2]
