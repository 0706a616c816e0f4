"""What came of each axis, as a table and a plot."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from eoconsumer.cli.bench.figures import Spread
from eoconsumer.cli.bench.report.cells import COSTS, RATES, costs, decimal, rates
from eoconsumer.cli.bench.report.model import Plot, Point, Section, Table
from eoconsumer.cli.bench.task import Result

_WHAT = {
    "partitions": ("Partitions", "One worker with two readers."),
    "workers": (
        "Workers",
        "Processes of one group with two readers each, on 24 partitions; MB: of the largest.",
    ),
    "batch": ("Size of a batch", "Upper bounds (batch_size); one worker, six partitions."),
    "size": ("Size of a document", "Bytes of JSON; the same number of bytes for each."),
    "lag": (
        "Memory under lag",
        "The client's highest memory while so many messages wait for it; 0: they come at 500 a "
        "second. One worker, six partitions.",
    ),
}
#: What a worker may hold under the longest lag, in bytes.
MOST = 300_000_000


def section(axis: str, results: Mapping[int, Sequence[Result]]) -> Section:
    """Return what came of ``axis``: its places with their results."""
    title, text = _WHAT[axis]
    rows = [
        (f"{place:,}", *rates(runs), *_bytes(axis, place, runs), *costs(runs))
        for place, runs in results.items()
    ]
    figures = {str(place): [asdict(each) for each in runs] for place, runs in results.items()}
    if axis == "lag":
        most = max(each.memory for runs in results.values() for each in runs)
        text += f" At most {MOST // 10**6} MB: {'reached' if most <= MOST else 'MISSED'}."
    columns = (axis, *RATES, *(("MB/s",) if axis == "size" else ()), *COSTS)
    return Section(
        name=axis,
        title=title,
        text=f"writes, exactly-once, at full load; messages/s: median, lowest, highest. {text}",
        table=Table(columns, rows),
        figures=figures,
        plot=_memory(results) if axis == "lag" else _speed(axis, results),
    )


def _bytes(axis: str, place: int, runs: Sequence[Result]) -> tuple[str, ...]:
    """Return megabytes a second, where they are the question."""
    if axis != "size":
        return ()
    return (decimal(statistics.median(each.rate for each in runs) * place / 1e6),)


def _speed(axis: str, results: Mapping[int, Sequence[Result]]) -> Plot:
    spreads = {place: Spread.of([each.rate for each in runs]) for place, runs in results.items()}
    points = [Point(place, each.median, each.low, each.high) for place, each in spreads.items()]
    return Plot("lines", axis, "messages/s", {"": points}, x_log=True, y_log=axis == "size")


def _memory(results: Mapping[int, Sequence[Result]]) -> Plot:
    spreads = {
        place: Spread.of([each.memory / 1e6 for each in runs]) for place, runs in results.items()
    }
    points = [
        Point(f"{place:,}", each.median, each.low, each.high) for place, each in spreads.items()
    ]
    return Plot("bars", "lag", "MB", {"": points})
