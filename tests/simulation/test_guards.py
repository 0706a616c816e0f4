"""Each guard is taken out once, and the harm that it prevents must be seen."""

from __future__ import annotations

import pytest
from schedules import play

from eoconsumer.core.effects import Effects
from eoconsumer.core.flow import Flow
from eoconsumer.core.modes import Mode
from eoconsumer.core.positions import Move
from eoconsumer.stores.memory import MemoryStore, Row
from eoconsumer.testing.simulator import Plan

pytestmark = pytest.mark.slow


class WithoutPosition(MemoryStore):
    """A fence that compares the epoch only."""

    def ours(self, row: Row, move: Move) -> bool:
        return row.epoch == move.epoch


class WithoutEpoch(MemoryStore):
    """A fence that compares the position only."""

    def ours(self, row: Row, move: Move) -> bool:
        return row.next_offset == move.expected


class WithoutDrain(Flow):
    """A reader that lets partitions go without storing what it handled."""

    def finish(self) -> Effects[None]:
        yield from ()


LATE = frozenset({"late_commit", "lost_reply", "transient"})
ZOMBIES = frozenset({"zombie", "late_commit"})
CLEAN = frozenset({"rebalance", "stop"})
SEEDS = range(400)


def test_without_the_position_compare_a_late_commit_doubles_messages() -> None:
    assert play(SEEDS, Plan(faults=LATE, most_faults=12)).doubled == 0
    assert play(SEEDS, Plan(faults=LATE, most_faults=12, make_store=WithoutPosition)).doubled > 0


def test_without_the_epoch_a_former_owner_moves_rows_after_a_claim() -> None:
    assert play(SEEDS, Plan(faults=ZOMBIES, most_faults=12)).broken_claims == 0
    tally = play(SEEDS, Plan(faults=ZOMBIES, most_faults=12, make_store=WithoutEpoch))
    assert tally.broken_claims > 0


def test_without_the_epoch_the_rightful_owner_is_the_one_that_is_fenced() -> None:
    only_zombies = frozenset({"zombie"})
    assert play(SEEDS, Plan(faults=only_zombies)).fenced_owners == 0
    tally = play(SEEDS, Plan(faults=only_zombies, make_store=WithoutEpoch))
    assert tally.fenced_owners > 0


@pytest.mark.requirement("S3-11")
def test_without_the_drain_a_clean_rebalance_doubles_in_at_least_once() -> None:
    drained = Plan(mode=Mode.AT_LEAST_ONCE, faults=CLEAN)
    assert play(SEEDS, drained).doubled == 0
    undrained = Plan(mode=Mode.AT_LEAST_ONCE, faults=CLEAN, make_flow=WithoutDrain)
    assert play(SEEDS, undrained).doubled > 0
