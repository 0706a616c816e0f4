"""How soon a process that has just started has its first message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

from eoconsumer.cli.bench.figures import Spread
from eoconsumer.cli.bench.limit.plan import Plan
from eoconsumer.cli.bench.report.cells import spread
from eoconsumer.cli.bench.report.model import Section, Table
from eoconsumer.cli.bench.stage import Load, Stage
from eoconsumer.cli.bench.task import Result
from eoconsumer.cli.bench.turns import Turn, take_turns
from eoconsumer.cli.bench.view import View

NAME, MOST = "start", 1.0
SETTINGS = {"group.protocol": "consumer"}


def measure(plan: Plan, load: Load, stage: Stage, view: View) -> Section:
    """Start anew for each round, with a group that nobody has seen."""
    run = partial(stage.run, "writes", load, 100, kafka=SETTINGS)
    return section(take_turns([Turn(NAME, run)], plan.pairs, view)[NAME])


def section(results: Sequence[Result]) -> Section:
    """Return the seconds from the start of the consumer to its first message."""
    found = Spread.of([each.first for each in results])
    reached = found.median < MOST
    verdict = "reached" if reached else "MISSED"
    return Section(
        name="start",
        title="The first message",
        text=(
            "Seconds from run() in a process that has imported what it needs to the first message "
            "in hand: collections are made, the group is joined, partitions are assigned and "
            "claimed."
        ),
        table=Table(
            ("", "", "under", "median", "lowest", "highest"),
            [("group.protocol=consumer", verdict, f"{MOST:g}", *spread(found))],
            words=2,
        ),
        figures={"seconds": [each.first for each in results], "reached": reached, **asdict(found)},
    )
