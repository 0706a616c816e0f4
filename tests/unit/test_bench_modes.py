"""The report of `bench modes`, on outcomes that are made up, and its plan."""

from __future__ import annotations

import pytest
from mode_comparison.compare import Outcome, beside
from mode_comparison.variants import VARIANTS as EXAMPLE

from eoconsumer.cli.bench.modes import sections
from eoconsumer.cli.bench.modes.plan import VARIANTS, Plan
from eoconsumer.cli.bench.modes.trial import Counted, Measured
from eoconsumer.cli.bench.task import Result
from eoconsumer.errors import ConfigurationError

ALL = Counted(produced=100, applied=100, lost=0, torn=0, duplicated=0)


def measured(rate: float, p99: float = 9.0) -> Measured:
    cpu = {"client": 0.01, "mongod": 0.02, "kafka": 0.01}
    latency = {"p50": 4.0, "p99": p99, "p99.9": 10.0, "max": 11.0}
    result = Result("x", 100, 100 / rate, 5, 0.5, cpu, 90_000_000, latency)
    return Measured(result, transactions=4, counted=ALL)


def test_the_variants_are_those_of_the_example() -> None:
    assert tuple(EXAMPLE) == VARIANTS


def test_what_kills_did_stands_in_a_row_of_its_own() -> None:
    lossy = Counted(produced=100, applied=90, lost=10, torn=1, duplicated=0, kills=3, seconds=4.5)
    section = sections.under_kills({"at-most-once": lossy})
    assert section.table.rows == [("at-most-once", "100", "90", "10", "1", "0", "3", "4.5")]
    assert section.figures["at-most-once"]["torn"] == 1


def test_commits_and_transactions_are_counted_a_second() -> None:
    load, costs = sections.at_full_load({"exactly-once-writes": [measured(50), measured(100)]})
    cells = ("exactly-once-writes", "75", "50", "100", "3.8", "3.0", "0", "0")
    assert load.table.rows == [cells]
    assert costs.table.rows == [("exactly-once-writes", "100", "200", "100", "90")]
    assert load.figures["exactly-once-writes"][0]["transactions"] == 4


def test_latencies_have_a_row_for_each_rate_and_a_line_for_each_variant() -> None:
    section = sections.at_rates({"at-least-once": {50: measured(50), 500: measured(500, 30.0)}})
    assert section.table.rows[1] == ("at-least-once", "500", "4", "30", "10", "11", "0", "0")
    assert section.plot is not None
    assert [point[:2] for point in section.plot.series["at-least-once"]] == [(50, 9.0), (500, 30.0)]


def test_a_plan_counts_its_runs_and_kills_in_the_order_of_the_offsets() -> None:
    plan = Plan.checked("", documents=2_000, seed=1, rounds=3, rates="50, 500", seconds=2)
    assert plan.runs == len(VARIANTS) * (1 + 4 + 2)
    offsets = [int(crash.split(":")[1]) for crash in plan.crashes]
    assert offsets == sorted(set(offsets))
    assert max(offsets) < 2_000 / 4
    assert Plan.checked("", 200, 1, 1, "", 1).rates == ()


@pytest.mark.parametrize(("only", "rates"), [("exactly", "50"), ("", "50,fast"), ("", "0")])
def test_what_cannot_be_measured_is_refused(only: str, rates: str) -> None:
    with pytest.raises(ConfigurationError, match=r"[Nn]othing was measured"):
        Plan.checked(only, documents=200, seed=1, rounds=1, rates=rates, seconds=1)


@pytest.mark.parametrize(
    ("variant", "lost", "duplicated", "kept"),
    [
        ("auto-commit", 1, 1, True),
        ("at-most-once", 1, 0, True),
        ("at-most-once", 0, 1, False),
        ("at-least-once", 0, 1, True),
        ("at-least-once", 1, 0, False),
        ("exactly-once-writes", 0, 0, True),
        ("exactly-once-writes", 0, 1, False),
        ("exactly-once-handle", 1, 0, False),
    ],
)
def test_each_variant_is_held_to_what_its_mode_promises(
    variant: str, lost: int, duplicated: int, kept: bool
) -> None:
    assert Outcome(variant, 10, 10 - lost, lost, 0, duplicated, 2).kept is kept


def test_each_variant_has_a_database_beside_the_one_that_was_given() -> None:
    url = "mongodb://shop:secret@h/shop?replicaSet=rs0"
    assert beside(url, "at-most-once") == "mongodb://shop:secret@h/shop_at_most_once?replicaSet=rs0"
