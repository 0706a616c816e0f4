"""The size of a batch that the library finds by itself, against sizes that are set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial

from eoconsumer.cli.bench.figures import Spread, ratios
from eoconsumer.cli.bench.limit.plan import SIZES, Plan
from eoconsumer.cli.bench.report.cells import RATES, rates, spread
from eoconsumer.cli.bench.report.model import Plot, Point, Section, Table
from eoconsumer.cli.bench.stage import Load, Stage
from eoconsumer.cli.bench.task import Result
from eoconsumer.cli.bench.turns import Turn, take_turns
from eoconsumer.cli.bench.view import View

ADAPTIVE, *FIXED = SIZES
LEAST = 0.95


def measure(plan: Plan, load: Load, stage: Stage, view: View) -> Section:
    """Let all sizes take turns on ``load``."""
    run = partial(stage.run, "writes", load)
    turns = [Turn(ADAPTIVE, run)]
    turns += [Turn(size, partial(run, batch_size=int(size))) for size in FIXED]
    return section(take_turns(turns, plan.pairs, view))


def section(results: Mapping[str, Sequence[Result]]) -> Section:
    """Hold the adaptive size against the best of the others."""
    speed = {name: [each.rate for each in found] for name, found in results.items()}
    best = max(FIXED, key=lambda size: Spread.of(speed[size]).median)
    ratio = ratios(speed[ADAPTIVE], speed[best])
    reached = ratio.median >= LEAST
    points = [Point(int(size), *asdict(Spread.of(speed[size])).values()) for size in FIXED]
    # The adaptive size has no place on the axis: a level line.
    level = asdict(Spread.of(speed[ADAPTIVE])).values()
    return Section(
        name="adaptive",
        title="The size of a batch",
        text=(
            "writes, exactly-once, at full load; the number is an upper bound of a batch "
            f"(batch_size). adaptive / {best}, the best of them in this very run, which favours it "
            f"a little: {' / '.join(spread(ratio))} "
            f"(median, lowest, highest); at least {LEAST}: {'reached' if reached else 'MISSED'}."
        ),
        table=Table(("batch", *RATES), [(name, *rates(found)) for name, found in results.items()]),
        figures={
            "runs": {name: [asdict(each) for each in found] for name, found in results.items()},
            "best": best,
            "ratio": asdict(ratio),
            "target": LEAST,
            "reached": reached,
        },
        plot=Plot(
            "lines",
            "batch_size",
            "messages/s",
            {"set": points, ADAPTIVE: [Point(each.x, *level) for each in points]},
            x_log=True,
        ),
    )
