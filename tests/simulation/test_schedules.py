"""The core under thousands of schedules of crashes, zombies, lost replies and late commits."""

from __future__ import annotations

import pytest
from schedules import play, play_all

from eoconsumer.core.modes import Mode
from eoconsumer.testing.simulator import Plan, simulate

pytestmark = pytest.mark.slow

EVERY_KIND = Plan().faults
SEEDS = 20_000
FEWER = 2_000


@pytest.mark.slow
@pytest.mark.requirement("S3-06", "S3-07", "S3-08", "S3-26")
def test_exactly_once_neither_loses_nor_doubles_nor_reorders_in_20_000_schedules() -> None:
    tally = play_all(SEEDS, Plan())
    assert not tally.wrong, tally.without()
    assert set(tally.faults) >= EVERY_KIND, "a fault that never bites proves nothing"
    assert tally.faults["late_refused"], "no late commit was ever refused"


@pytest.mark.requirement("S3-02", "S3-26")
def test_at_least_once_loses_nothing_and_does_double_under_faults() -> None:
    tally = play(range(FEWER), Plan(mode=Mode.AT_LEAST_ONCE))
    wrong = tally.without("doubled", "out_of_order")
    assert not wrong, wrong
    assert tally.doubled, "with crashes something must be handled twice, or nothing was tried"
    assert set(tally.faults) >= EVERY_KIND - {"late_commit"}


@pytest.mark.requirement("S3-05", "S3-26")
def test_at_most_once_doubles_nothing_and_does_lose_under_faults() -> None:
    tally = play(range(FEWER), Plan(mode=Mode.AT_MOST_ONCE))
    wrong = tally.without("lost", "out_of_order")
    assert not wrong, wrong
    assert tally.lost, "with crashes something must be lost, or nothing was tried"
    assert set(tally.faults) >= EVERY_KIND - {"late_commit"}


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.requirement("S3-13", "S3-26")
def test_without_faults_every_mode_handles_each_message_once(mode: Mode) -> None:
    tally = play(range(300), Plan(mode=mode, faults=frozenset()))
    assert not tally.wrong, tally.without()


def test_the_same_seed_gives_the_same_outcome() -> None:
    for seed in range(200):
        assert simulate(seed) == simulate(seed)
