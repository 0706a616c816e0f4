"""The three modes differ in one thing: where the offset write stands. First, last, or inside."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol, TypeAlias

from eoconsumer.core.applied import Applied
from eoconsumer.core.effects import (
    Advance,
    AfterCommit,
    Begin,
    Bury,
    Commit,
    Handle,
    NoteApplied,
    Run,
    Write,
)
from eoconsumer.core.letters import DeadLetter
from eoconsumer.core.positions import Move

Step: TypeAlias = Begin | Handle | Write | Bury | NoteApplied | Advance | Commit | AfterCommit


class Mode(StrEnum):
    """What is guaranteed when a process dies: see the table of modes in the README."""

    EXACTLY_ONCE = "exactly_once"
    AT_LEAST_ONCE = "at_least_once"
    AT_MOST_ONCE = "at_most_once"


class Work(Protocol):
    """What a mode needs to know of a batch: a ``Batch`` fits."""

    @property
    def runs(self) -> tuple[Run, ...]: ...  # noqa: D102 - as in Batch
    @property
    def letters(self) -> tuple[DeadLetter, ...]: ...  # noqa: D102
    @property
    def moves(self) -> tuple[Move, ...]: ...  # noqa: D102
    @property
    def applied(self) -> tuple[Applied, ...]: ...  # noqa: D102


def exactly_once(work: Work) -> list[Step]:
    """Inside: the handler's writes, dead letters and the offsets are one transaction."""
    handle = map(Handle, work.runs)
    # Letters late: a key's quarantine is written with them, and a redrive may wait for it.
    written = [*_bury(work), *_note(work.applied), Advance(work.moves)]
    return [Begin(), *handle, Write(work.runs), *written, Commit(), AfterCommit(work.runs)]


def at_least_once(work: Work) -> list[Step]:
    """Last: an offset is written when the message has passed all its stages."""
    return [*_bury(work), *_stages(work), *_advance(work)]


def at_most_once(work: Work) -> list[Step]:
    """First: an offset is durable before the handler starts."""
    return [*_advance(work), *_bury(work), *_stages(work)]


STEPS: dict[Mode, Callable[[Work], list[Step]]] = {
    Mode.EXACTLY_ONCE: exactly_once,
    Mode.AT_LEAST_ONCE: at_least_once,
    Mode.AT_MOST_ONCE: at_most_once,
}


def _bury(work: Work) -> list[Step]:
    # Letters first: outside a transaction a run settles when it is handled, and takes along what
    # is known of its messages, while a later run of the batch may still fail.
    return [Bury(work.letters)] if work.letters else []


def _stages(work: Work) -> list[Step]:
    # Run by run: a run that went through all its stages is done, whatever a later one does.
    steps: list[Step] = []
    for run in work.runs:
        lines = tuple(line for line in work.applied if line.partition == run.partition)
        steps += [Handle(run), Write((run,)), *_note(lines), AfterCommit((run,))]
    return steps


def _note(lines: tuple[Applied, ...]) -> list[Step]:
    return [NoteApplied(lines)] if lines else []


def _advance(work: Work) -> list[Step]:
    return [Advance(work.moves)] if work.moves else []
