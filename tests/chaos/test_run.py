"""The chaos run itself: three minutes of real faults; the long one is started by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.checker import CHECKS, judge
from tests.chaos.plan import BLOCK, KINDS, LANES, PROTOCOLS, kinds_of, make_plan
from tests.chaos.report import report
from tests.chaos.run import Options, commit, run

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "chaos.md"
SEED = 7
MINUTES = 3.0
FAULTS = 40  # that took effect, at least
RATE = 30.0  # messages a second; other tests want the processor, too
#: A kind that only chance kept from its effect may have one more run; a red check may not.
RUNS = 2


@pytest.mark.slow
@pytest.mark.requirement("N1", "N3", "N17")
def test_three_minutes_of_faults_lose_double_and_reorder_nothing(tmp_path: Path) -> None:
    for number in range(RUNS):
        seed = SEED + number
        plan = make_plan(seed, MINUTES)
        options = Options(seed, MINUTES, tmp_path / str(seed), rate=RATE)
        evidence = run(options, plan)
        verdict = judge(evidence)
        print(report(options, commit(), evidence, verdict))  # noqa: T201 - shown if it failed
        assert verdict.red == []
        if not verdict.invalid:
            break
    assert verdict.invalid == []
    assert sum(line["said"] == "end" and line["took"] for line in evidence.faults) >= FAULTS


def test_the_seed_gives_the_whole_plan() -> None:
    assert make_plan(SEED, 60) == make_plan(SEED, 60)
    assert make_plan(SEED, 60) != make_plan(SEED + 1, 60)


@pytest.mark.parametrize(("minutes", "faults"), [(3, 40), (60, 600)])
def test_a_plan_has_every_kind_and_faults_enough(minutes: float, faults: int) -> None:
    plan = make_plan(SEED, minutes)
    assert len(plan) >= faults
    assert {fault.kind for fault in plan} == set(kinds_of("mongodb"))
    assert len(kinds_of("mongodb")) >= 15
    assert plan[-1].at <= minutes * 60


def test_a_run_goes_through_the_protocols_and_never_back_from_the_last() -> None:
    for minutes in (3, 60):
        plan = make_plan(SEED, minutes)
        seen = [fault.parameters["protocol"] for fault in plan if fault.kind == "churn"]
        assert set(seen) == set(PROTOCOLS)
        assert set(seen[seen.index(PROTOCOLS[-1]) :]) == {PROTOCOLS[-1]}


@pytest.mark.parametrize("minutes", [3, 60])
def test_the_broker_is_killed_under_classic_groups_only(minutes: float) -> None:
    for seed in range(20):
        protocol, killed = "", []
        for fault in make_plan(seed, minutes):
            protocol = fault.parameters.get("protocol", protocol)
            killed += [protocol] if fault.kind == "broker kill" else []
        assert killed
        assert PROTOCOLS[-1] not in killed


def test_faults_of_one_lane_never_overlap() -> None:
    free = dict.fromkeys(LANES, 0.0)
    for fault in make_plan(SEED, BLOCK / 60):
        for lane in KINDS[fault.kind].lanes:
            assert fault.at >= free[lane]
            free[lane] = fault.at


def test_the_page_names_every_kind_and_every_check() -> None:
    page = PAGE.read_text("utf-8")
    assert [kind for kind in KINDS if f"`{kind}`" not in page] == []
    assert [check for check in CHECKS if f"| {check} |" not in page] == []


def test_only_some_kinds_fill_the_time_in_turn() -> None:
    plan = make_plan(SEED, 1, ["zombie", "kill"])
    assert {fault.kind for fault in plan} == {"zombie", "kill"}
    assert len(plan) > 5
