"""Crashes on order: SIGKILL at chosen messages, so that every mode can be hurt in the same places.

A point strikes once: it leaves a mark in a folder, and the worker that is started again passes it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Self

from .ledger import Entries, Source


class Where(StrEnum):
    """Where in the work of a message the process dies."""

    IN_HANDLER = "in-handler"
    """When half of the message's rows are written."""
    AFTER_COMMIT = "after-commit"
    """When its work is done, before the stages that follow."""


class CrashPoint(NamedTuple):
    """One message at which the process dies."""

    partition: int
    offset: int
    where: Where

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `PARTITION:OFFSET:WHERE`; raise `ValueError` if it is not that."""
        partition, offset, where = text.split(":")
        return cls(int(partition), int(offset), Where(where))


class CrashPlan:
    """The points at which this process kills itself, each unless its mark is in `marks`."""

    def __init__(self, points: Iterable[CrashPoint] = (), marks: Path = Path()) -> None:
        """Plan `points`; `marks` is an existing folder."""
        self._marks = marks
        self._points = {point for point in points if not self._mark(point).exists()}

    def cut(self, entries: Sequence[Entries]) -> Iterator[list[Entries]]:
        """Yield `entries` to be written; at a point in them, only up to its middle, and die."""
        fatal = self._first(
            (
                Source(row["topic"], row["partition"], row["offset"])
                for row in (entry.ledger[0] for entry in entries)
            ),
            Where.IN_HANDLER,
        )
        if fatal is None:
            yield list(entries)
            return
        at, point = fatal
        half = entries[at].ledger[: len(entries[at].ledger) // 2]
        yield [*entries[:at], Entries(half, [])]
        self._strike(point)

    def after_commit(self, sources: Iterable[Source]) -> None:
        """Die if one of the messages whose work is done is a point."""
        fatal = self._first(sources, Where.AFTER_COMMIT)
        if fatal:
            self._strike(fatal[1])

    def _first(self, sources: Iterable[Source], where: Where) -> tuple[int, CrashPoint] | None:
        if not self._points:
            return None
        for number, source in enumerate(sources):
            point = CrashPoint(source.partition, source.offset, where)
            if point in self._points:
                return number, point
        return None

    def _mark(self, point: CrashPoint) -> Path:
        return self._marks / "-".join(map(str, point))

    def _strike(self, point: CrashPoint) -> None:
        self._mark(point).touch()
        os.kill(os.getpid(), signal.SIGKILL)
