"""Medians of paired ratios, spreads, percentiles: pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PERCENTS = (50.0, 99.0, 99.9)


@dataclass(frozen=True, slots=True)
class Spread:
    """A median, and the lowest and highest value that it was taken from."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return that of ``values``; raises ``ValueError`` where there are none."""
        if not values:
            raise ValueError("no values were measured")
        return cls(statistics.median(values), min(values), max(values))


def ratios(one: Sequence[float], other: Sequence[float]) -> Spread:
    """Return the spread of ``one`` / ``other``, taken pair by pair.

    A machine whose speed drifts changes both halves of a pair, and not their ratio. Raises
    ``ValueError`` where they are not as many.
    """
    return Spread.of([a / b for a, b in zip(one, other, strict=True)])


def percentiles(values: Sequence[float]) -> Mapping[str, float]:
    """Return p50, p99, p99.9 and the maximum of ``values``; nothing where there are none.

    A percentile is the smallest value that so many percent of all values do not exceed.
    """
    if not values:
        return {}
    ranked = sorted(values)
    found = {f"p{percent:g}": ranked[_rank(percent, len(ranked))] for percent in PERCENTS}
    return found | {"max": ranked[-1]}


def _rank(percent: float, count: int) -> int:
    """Return the index of a percentile, by the method of the nearest rank."""
    thousandths = round(percent * 10)
    return max(1, -(-thousandths * count // 1000)) - 1
