"""What came of the variants, as tables and plots."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from eoconsumer.cli.bench.modes.trial import Counted, Measured
from eoconsumer.cli.bench.report.cells import RATES, cost_section, decimal, rate_points, rates
from eoconsumer.cli.bench.report.model import Plot, Point, Section, Table

PERCENTILES = ("p50", "p99", "p99.9", "max")


def under_kills(found: Mapping[str, Counted]) -> Section:
    """Return what kills did."""
    columns = ("produced", "applied", "lost", "torn", "duplicated", "kills")
    rows = [
        (name, *(f"{getattr(each, column):,}" for column in columns), decimal(each.seconds))
        for name, each in found.items()
    ]
    return Section(
        name="kills",
        title="With kills",
        text=(
            "Documents of the stock ledger; the worker is killed with SIGKILL at the same messages "
            "and started again. lost: a part of the document, or all of it, is missing; torn: a "
            "part is there. auto-commit commits every 5 ms here: with Kafka's default of 5 s the "
            "same kills would rather duplicate. Seconds with all starts."
        ),
        table=Table(("variant", *columns, "seconds"), rows),
        figures={name: asdict(each) for name, each in found.items()},
    )


def at_full_load(found: Mapping[str, Sequence[Measured]]) -> list[Section]:
    """Return how fast they are, and what it costs."""
    rows = []
    for name, runs in found.items():
        committed = statistics.median(each.transactions / each.result.seconds for each in runs)
        lost = sum(each.counted.lost for each in runs)
        doubled = sum(each.counted.duplicated for each in runs)
        cells = (*rates([each.result for each in runs]), decimal(committed))
        rows.append((name, *cells, str(lost), str(doubled)))
    results = {name: [each.result for each in runs] for name, runs in found.items()}
    speed = Section(
        name="load",
        title="Without kills, at full load",
        text=(
            "Documents a second, median, lowest and highest; each writes two or three rows. "
            "commits/s: commands that move positions in the database, with those of the claims "
            "(auto-commit moves them in Kafka); transactions/s: those that the database committed. "
            "lost, duplicated: in all runs."
        ),
        table=Table(("variant", *RATES, "transactions/s", "lost", "duplicated"), rows),
        figures={name: [_figures(each) for each in runs] for name, runs in found.items()},
        plot=Plot("bars", "", "documents/s", {"": rate_points(results)}),
    )
    return [speed, cost_section(results)]


def at_rates(found: Mapping[str, Mapping[int, Measured]]) -> Section:
    """Return the latencies."""
    rows, series = [], {}
    for name, runs in found.items():
        for rate, each in runs.items():
            latency = each.result.latency
            counted = (str(each.counted.lost), str(each.counted.duplicated))
            cells = (*(f"{latency[which]:,.0f}" for which in PERCENTILES), *counted)
            rows.append((name, f"{rate:,}", *cells))
        high = {rate: each.result.latency["p99"] for rate, each in runs.items()}
        series[name] = [Point(rate, ms, ms, ms) for rate, ms in high.items()]
    return Section(
        name="latency",
        title="Latency at fixed rates",
        text="From produced to committed, in ms, at so many documents a second. The plot has p99.",
        table=Table(
            ("variant", "rate", *(f"{each} ms" for each in PERCENTILES), "lost", "duplicated"), rows
        ),
        figures={
            name: {str(rate): _figures(each) for rate, each in runs.items()}
            for name, runs in found.items()
        },
        plot=Plot("lines", "documents/s", "p99, ms", series, x_log=True, y_log=True),
    )


def _doubled(runs: Sequence[Measured]) -> int:
    return sum(each.counted.duplicated for each in runs)


def _figures(each: Measured) -> dict[str, Any]:
    counted = {"transactions": each.transactions, "counted": asdict(each.counted)}
    return asdict(each.result) | counted
