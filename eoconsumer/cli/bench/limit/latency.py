"""From produced to committed, at a steady rate that leaves the servers idle between messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial

from eoconsumer.cli.bench.figures import Spread, ratios
from eoconsumer.cli.bench.limit.plan import Plan
from eoconsumer.cli.bench.report.cells import decimal, spread
from eoconsumer.cli.bench.report.model import Plot, Point, Section, Table
from eoconsumer.cli.bench.stage import Stage
from eoconsumer.cli.bench.task import Result
from eoconsumer.cli.bench.turns import Turn, take_turns
from eoconsumer.cli.bench.view import View

HAND, LIBRARY = "eager", "writes"
PERCENTILES = ("p50", "p99", "p99.9", "max")
HELD = ("p50", "p99")
MOST = 1.10


def measure(plan: Plan, stage: Stage, view: View) -> Section:
    """Let the library and the loop take turns, on a fresh topic each time."""
    timed = partial(stage.at_rate, rate=plan.rate, seconds=plan.seconds)
    turns = [Turn(name, partial(timed, name)) for name in (HAND, LIBRARY)]
    return section(take_turns(turns, plan.pairs, view), plan.rate)


def section(results: Mapping[str, Sequence[Result]], rate: int) -> Section:
    """Hold the library's percentiles against those of the loop."""
    rows = [
        (name, *(decimal(_spread(found, each).median) for each in PERCENTILES))
        for name, found in results.items()
    ]
    compared = {
        name: ratios(*([each.latency[name] for each in results[side]] for side in (LIBRARY, HAND)))
        for name in HELD
    }
    verdicts = "; ".join(
        f"{name}: {' / '.join(spread(ratio))}, {'reached' if ratio.median <= MOST else 'MISSED'}"
        for name, ratio in compared.items()
    )
    series = {
        name: [Point(each, *asdict(_spread(found, each)).values()) for each in PERCENTILES]
        for name, found in results.items()
    }
    return Section(
        name="latency",
        title=f"Latency at {rate} messages/s",
        text=(
            "From produced to committed, in ms; the medians of all runs. eager: the loop written "
            f"by hand that commits whatever it has polled. {LIBRARY} / {HAND}, median, lowest and "
            f"highest, at most {MOST} - {verdicts}."
        ),
        table=Table(("side", *(f"{each} ms" for each in PERCENTILES)), rows),
        figures={
            "rate": rate,
            "runs": {name: [asdict(each) for each in found] for name, found in results.items()},
            "ratios": {name: asdict(ratio) for name, ratio in compared.items()},
            "target": MOST,
            "reached": all(ratio.median <= MOST for ratio in compared.values()),
        },
        plot=Plot("bars", "", "ms", series, y_log=True),
    )


def _spread(results: Sequence[Result], name: str) -> Spread:
    return Spread.of([each.latency[name] for each in results])
