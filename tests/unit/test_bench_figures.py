"""The statistics of the benchmarks, on numbers that anybody can check."""

from __future__ import annotations

import pytest

from eoconsumer.cli.bench.figures import Spread, percentiles, ratios


def test_a_spread_is_the_median_with_the_lowest_and_the_highest_value() -> None:
    assert Spread.of([5.0, 1.0, 3.0]) == Spread(median=3.0, low=1.0, high=5.0)
    assert Spread.of([4.0, 2.0]) == Spread(median=3.0, low=2.0, high=4.0)


def test_without_values_there_is_no_spread() -> None:
    with pytest.raises(ValueError, match="no values"):
        Spread.of([])


def test_a_ratio_is_taken_pair_by_pair_so_that_a_drift_of_both_cancels_out() -> None:
    slowing = [100.0, 50.0, 10.0]
    assert ratios([2 * each for each in slowing], slowing) == Spread(2.0, 2.0, 2.0)
    assert ratios([10.0, 30.0, 60.0], [10.0, 10.0, 10.0]) == Spread(3.0, 1.0, 6.0)


def test_runs_without_a_partner_have_no_ratio() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0, 2.0], [1.0])


def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed() -> None:
    thousand = [float(n) for n in range(1_000, 0, -1)]
    assert percentiles(thousand) == {"p50": 500.0, "p99": 990.0, "p99.9": 999.0, "max": 1_000.0}
    assert percentiles([7.0]) == {"p50": 7.0, "p99": 7.0, "p99.9": 7.0, "max": 7.0}
    assert percentiles([]) == {}
