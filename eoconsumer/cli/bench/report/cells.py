"""What several reports have: the cells of rates, ratios and costs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from eoconsumer.cli.bench.figures import Spread
from eoconsumer.cli.bench.report.model import Point, Section, Table
from eoconsumer.cli.bench.task import Result

RATES = ("messages/s", "lowest", "highest", "commits/s")
COSTS = ("client us", "mongod us", "Kafka us", "MB")


def rates(results: Sequence[Result]) -> tuple[str, ...]:
    """Return the cells of ``RATES``."""
    found = Spread.of([each.rate for each in results])
    commits = statistics.median(each.commits / each.seconds for each in results)
    return (*(f"{value:,.0f}" for value in (found.median, found.low, found.high)), decimal(commits))


def rate_points(results: Mapping[str, Sequence[Result]]) -> list[Point]:
    """Return a point for each name: the spread of its rates."""
    spreads = {name: Spread.of([each.rate for each in runs]) for name, runs in results.items()}
    return [Point(name, each.median, each.low, each.high) for name, each in spreads.items()]


def cost_section(results: Mapping[str, Sequence[Result]]) -> Section:
    """Return what each message costs; the figures are those of the runs, which stand elsewhere."""
    return Section(
        name="costs",
        title="What a message costs",
        text=(
            "Microseconds of CPU time for each message, of the client and of all servers of a kind "
            "(three of mongod); the client's highest memory. Medians."
        ),
        table=Table(("", *COSTS), [(name, *costs(runs)) for name, runs in results.items()]),
        figures=None,
    )


def costs(results: Sequence[Result]) -> tuple[str, ...]:
    """Return the cells of ``COSTS``: CPU time for a message (us), and the client's memory."""
    used = (
        statistics.median(each.cpu.get(name, 0.0) / each.messages * 1e6 for each in results)
        for name in ("client", "mongod", "kafka")
    )
    memory = statistics.median(each.memory for each in results)
    return (*map(decimal, used), f"{memory / 1e6:,.0f}")


def spread(values: Spread) -> tuple[str, ...]:
    """Return median, lowest and highest."""
    return tuple(decimal(value, 3) for value in (values.median, values.low, values.high))


def decimal(value: float, digits: int = 2) -> str:
    """Return ``value`` with ``digits`` that count, and at least all in front of the point."""
    if value == 0:
        return "0"
    places = max(0, digits - len(str(int(abs(value)))) if abs(value) >= 1 else digits)
    return f"{value:,.{places}f}"
