"""What the applied-log says is what happened, under every kind of fault."""

from __future__ import annotations

import pytest
from test_guards import LATE, WithoutPosition

from eoconsumer.core.modes import Mode
from eoconsumer.testing.simulator import Plan, simulate

pytestmark = [pytest.mark.slow, pytest.mark.requirement("N8")]


def test_in_exactly_once_the_log_has_each_message_once_and_in_order() -> None:
    plan = Plan(applied_log=True)
    for seed in range(700):
        outcome = simulate(seed, plan)
        assert outcome.verdict.right, f"replay with simulate({seed}, {plan}): {outcome.verdict}"
        assert outcome.verdict.counts == {"applied": len(outcome.produced)}


def test_a_fence_without_its_position_is_found_out_by_the_log_in_each_schedule_it_harms() -> None:
    plan = Plan(applied_log=True, faults=LATE, most_faults=12, make_store=WithoutPosition)
    harmed = 0
    for seed in range(1_000):
        outcome = simulate(seed, plan)
        doubled = {(f.partition, f.offset) for f in outcome.verdict.findings["doubled"]}
        assert doubled == {place for place, times in outcome.effects.items() if times > 1}, seed
        harmed += bool(doubled)
    assert harmed


@pytest.mark.parametrize("mode", [Mode.AT_LEAST_ONCE, Mode.AT_MOST_ONCE])
def test_outside_of_a_transaction_the_log_has_no_more_than_there_is(mode: Mode) -> None:
    for seed in range(500):
        outcome = simulate(seed, Plan(mode=mode, applied_log=True))
        assert outcome.verdict.counts["applied"] <= len(outcome.effects), seed


@pytest.mark.parametrize("mode", [Mode.AT_LEAST_ONCE, Mode.AT_MOST_ONCE])
def test_outside_of_a_transaction_the_log_is_complete_where_nothing_was_cut_short(
    mode: Mode,
) -> None:
    faults = frozenset({"rebalance", "stop", "bad"})
    plan = Plan(mode=mode, applied_log=True, returned=0.0, faults=faults)
    for seed in range(500):
        outcome = simulate(seed, plan)
        assert outcome.verdict.counts["applied"] == len(outcome.effects), seed
        assert outcome.verdict.right, seed
