"""The library without a database: what it costs by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

from eoconsumer.cli.bench.figures import Spread
from eoconsumer.cli.bench.limit.plan import Plan
from eoconsumer.cli.bench.report.cells import COSTS, RATES, costs, rates
from eoconsumer.cli.bench.report.model import Section, Table
from eoconsumer.cli.bench.stage import Stage
from eoconsumer.cli.bench.task import Result
from eoconsumer.cli.bench.turns import Turn, take_turns
from eoconsumer.cli.bench.view import View

NAME, LEAST = "memory", 200_000
#: More messages than elsewhere, since they are soon gone.
TIMES = 3


def measure(plan: Plan, stage: Stage, view: View) -> Section:
    """Consume into the memory of the process."""
    messages = plan.messages * TIMES
    view.say(f"Producing {messages:,} messages of 200 bytes")
    run = partial(stage.without_database, NAME, stage.filled(messages))
    return section(take_turns([Turn(NAME, run)], plan.pairs, view)[NAME])


def section(results: Sequence[Result]) -> Section:
    """Return the rates."""
    found = Spread.of([each.rate for each in results])
    reached = found.median >= LEAST
    return Section(
        name="memory",
        title="Without a database",
        text=(
            "In-memory store, real broker, values left as bytes and kept in a list. "
            f"At least {LEAST:,} messages/s: {'reached' if reached else 'MISSED'}."
        ),
        table=Table(("", *RATES, *COSTS), [(NAME, *rates(results), *costs(results))]),
        figures={"runs": [asdict(each) for each in results], "reached": reached, **asdict(found)},
    )
