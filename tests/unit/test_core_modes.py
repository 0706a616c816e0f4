"""The three modes differ in one thing: where the offset write stands."""

from __future__ import annotations

import pytest
from bench import P0, P1, messages

from eoconsumer.core.applied import Applied
from eoconsumer.core.batching import Batch
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
from eoconsumer.core.modes import STEPS, Mode
from eoconsumer.core.positions import Move

RUNS = tuple(Run(key, messages(range(3), key)) for key in (P0, P1))
MOVES = (Move(P0, 1, 0, 3), Move(P1, 1, 0, 3))
LETTERS = (DeadLetter(RUNS[0].messages[1], ValueError(), 3),)


def order(mode: Mode, batch: Batch) -> list[type]:
    return [type(step) for step in STEPS[mode](batch)]


@pytest.mark.requirement("S3-06", "S3-23")
def test_exactly_once_writes_the_offsets_last_inside_the_transaction() -> None:
    steps = order(Mode.EXACTLY_ONCE, Batch(RUNS, (), MOVES))
    assert steps == [Begin, Handle, Handle, Write, Advance, Commit, AfterCommit]


@pytest.mark.requirement("S3-02")
def test_at_least_once_writes_the_offsets_after_all_stages() -> None:
    steps = order(Mode.AT_LEAST_ONCE, Batch(RUNS, (), MOVES))
    assert steps == [Handle, Write, AfterCommit] * 2 + [Advance]


@pytest.mark.requirement("S3-05")
def test_at_most_once_writes_the_offsets_first() -> None:
    steps = order(Mode.AT_MOST_ONCE, Batch(RUNS, (), MOVES))
    assert steps == [Advance] + [Handle, Write, AfterCommit] * 2


@pytest.mark.parametrize("mode", [Mode.AT_LEAST_ONCE, Mode.AT_MOST_ONCE])
def test_without_a_move_nothing_is_written_outside_a_transaction(mode: Mode) -> None:
    assert Advance not in order(mode, Batch(RUNS))


@pytest.mark.parametrize("mode", [Mode.AT_LEAST_ONCE, Mode.AT_MOST_ONCE])
def test_dead_letters_are_written_before_a_later_message_can_fail(mode: Mode) -> None:
    steps = order(mode, Batch(RUNS, LETTERS, MOVES))
    assert steps.index(Bury) < steps.index(Handle)


@pytest.mark.requirement("N5")
def test_exactly_once_writes_dead_letters_inside_and_late() -> None:
    steps = order(Mode.EXACTLY_ONCE, Batch(RUNS, LETTERS, MOVES))
    assert steps == [Begin, Handle, Handle, Write, Bury, Advance, Commit, AfterCommit]


def test_the_positions_of_all_partitions_move_in_one_step() -> None:
    (advance,) = [s for s in STEPS[Mode.EXACTLY_ONCE](Batch(RUNS, (), MOVES)) if type(s) is Advance]
    assert advance.moves == MOVES


def test_the_applied_log_is_written_with_the_positions_or_after_each_handler() -> None:
    lines = tuple(Applied(run.partition, 1, 1, ((0, 3),)) for run in RUNS)
    batch = Batch(RUNS, (), MOVES, lines)
    inside = [Begin, Handle, Handle, Write, NoteApplied, Advance, Commit, AfterCommit]
    assert order(Mode.EXACTLY_ONCE, batch) == inside
    stages = [Handle, Write, NoteApplied, AfterCommit] * 2
    assert order(Mode.AT_LEAST_ONCE, batch) == [*stages, Advance]
    assert order(Mode.AT_MOST_ONCE, batch) == [Advance, *stages]


def test_a_mode_is_written_as_a_plain_word() -> None:
    assert Mode("exactly_once") is Mode.EXACTLY_ONCE
    assert f"{Mode.AT_LEAST_ONCE}" == "at_least_once"
