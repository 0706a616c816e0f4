"""The report of `bench scale`, on results that are made up, and its plan."""

from __future__ import annotations

import pytest

from eoconsumer.cli.bench.scale.plan import AXES, Plan
from eoconsumer.cli.bench.scale.sections import section
from eoconsumer.cli.bench.task import Result, merged
from eoconsumer.errors import ConfigurationError

PLACES = {"partitions": "1,6", "workers": "1", "batch": "5", "size": "200", "lag": "0, 10"}


def result(rate: float, memory: int = 90_000_000, began: float = 5.0) -> Result:
    cpu = {"client": 0.01, "mongod": 0.02, "kafka": 0.01}
    return Result("writes", 100, 100 / rate, 4, 0.5, cpu, memory, began=began)


def test_a_plan_has_all_axes_or_those_that_are_named_and_counts_its_runs() -> None:
    plan = Plan.checked("", PLACES, messages=100, rounds=2)
    assert tuple(plan.axes) == AXES
    assert plan.runs == (2 + 1 + 1 + 1 + 2) * 3
    some = Plan.checked("lag, workers", PLACES, messages=100, rounds=1)
    assert some.axes == {"lag": (0, 10), "workers": (1,)}


@pytest.mark.parametrize(
    ("only", "places"),
    [("lags", PLACES), ("", PLACES | {"workers": "0"}), ("", PLACES | {"size": "1,,2"})],
)
def test_what_cannot_be_measured_is_refused(only: str, places: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"nothing was measured|Nothing was measured"):
        Plan.checked(only, places, messages=100, rounds=1)


def test_each_place_of_an_axis_has_a_row_and_a_point() -> None:
    made = section("partitions", {1: [result(100), result(300)], 6: [result(400)]})
    assert made.table.rows[0][:4] == ("1", "200", "100", "300")
    assert made.plot is not None
    assert [tuple(point) for point in made.plot.series[""]] == [
        (1, 200, 100, 300),
        (6, 400, 400, 400),
    ]


def test_sizes_have_their_megabytes_a_second() -> None:
    made = section("size", {100_000: [result(50)]})
    assert made.table.rows[0][made.table.columns.index("MB/s")] == "5.0"


@pytest.mark.parametrize(("memory", "verdict"), [(300_000_000, "reached"), (300_000_001, "MISSED")])
def test_the_memory_under_lag_is_held_against_its_target(memory: int, verdict: str) -> None:
    assert section("lag", {0: [result(500)], 9: [result(500, memory)]}).text.endswith(f"{verdict}.")


def test_processes_that_worked_together_count_as_one_from_the_first_to_the_last() -> None:
    idle = Result("writes", 0, float("-inf"), 0, 0.0, {}, 1, began=float("inf"))
    both = merged([result(100, began=5.0), idle, result(50, memory=95_000_000, began=5.5)])
    assert (both.messages, both.commits, both.memory) == (200, 8, 95_000_000)
    assert both.seconds == pytest.approx(2.5)
    assert both.cpu == {"client": 0.02, "mongod": 0.02, "kafka": 0.01}
