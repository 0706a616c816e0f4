"""All sides at full load, and the ratios that were promised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, NamedTuple

from eoconsumer.cli.bench.figures import Spread, ratios
from eoconsumer.cli.bench.limit.plan import Plan
from eoconsumer.cli.bench.report.cells import RATES, cost_section, rate_points, rates, spread
from eoconsumer.cli.bench.report.model import Plot, Section, Table
from eoconsumer.cli.bench.stage import Load, Stage
from eoconsumer.cli.bench.task import Result
from eoconsumer.cli.bench.turns import Turn, take_turns
from eoconsumer.cli.bench.view import View

#: What each side is: the contestant, its settings, and which share of the messages it gets, so
#: that the slow ones do not take all the time.
_SIDES: Mapping[str, tuple[str, Mapping[str, Any], float]] = {
    "limit": ("limit", {}, 1),
    "writes": ("writes", {}, 1),
    # Its best: as many messages between two writes of the positions as help.
    "at-least-once": ("writes", {"mode": "at_least_once", "commit_batch": 20_000}, 1),
    "batch": ("batch", {}, 1),
    "handle": ("handle", {}, 1 / 20),
    "one-by-one": ("one-by-one", {}, 1 / 200),
}
LEGEND = (
    "limit: the best loop written by hand for this work, exactly-once. writes: the library, "
    "exactly-once, one write returned for each message. at-least-once: the same handler in that "
    "mode. batch: handle_batch with insert_many. handle: handle with insert_one. one-by-one: one "
    "transaction for each message, six threads, no library. Each inserts one document of 200 bytes "
    "for each message and stores the position; two readers (threads), six partitions. Messages/s "
    "from the first message to the last commit, median, lowest and highest. After each run every "
    "message was counted: all were there once."
)


class Target(NamedTuple):
    """A ratio that is to be reached."""

    one: str
    other: str
    least: float


TARGETS = (
    Target("writes", "limit", 0.95),
    Target("writes", "at-least-once", 0.95),
    Target("writes", "one-by-one", 80),
    Target("handle", "one-by-one", 5),
)


def measure(plan: Plan, load: Load, stage: Stage, view: View) -> list[Section]:
    """Let all sides of ``plan`` take turns on ``load``."""
    turns = []
    for name in plan.sides:
        contestant, settings, share = _SIDES[name]
        run = partial(stage.run, contestant, load, max(100, int(load.messages * share)), **settings)
        turns.append(Turn(name, run))
    return sections(take_turns(turns, plan.pairs, view))


def sections(results: Mapping[str, Sequence[Result]]) -> list[Section]:
    """Return what came of it: the rates, and the ratios."""
    found = [
        Section(
            name="throughput",
            title="At full load",
            text=LEGEND,
            table=Table(("side", *RATES), [(n, *rates(runs)) for n, runs in results.items()]),
            figures={name: [asdict(each) for each in runs] for name, runs in results.items()},
            plot=Plot("bars", "", "messages/s", {"": rate_points(results)}, y_log=True),
        ),
        cost_section(results),
    ]
    known = {
        (one, other): ratios([r.rate for r in results[one]], [r.rate for r in results[other]])
        for one in results
        for other in results
        if one != other
    }
    targets = [target for target in TARGETS if target[:2] in known]
    if targets:
        found.append(_ratios(targets, known))
    return found


def _ratios(targets: Sequence[Target], known: Mapping[tuple[str, str], Spread]) -> Section:
    rows, figures = [], []
    for target in targets:
        ratio = known[target.one, target.other]
        reached = ratio.median >= target.least
        name = f"{target.one} / {target.other}"
        rows.append((name, "reached" if reached else "MISSED", f"{target.least:g}", *spread(ratio)))
        figures.append({"ratio": name, "target": target.least, "reached": reached, **asdict(ratio)})
    return Section(
        name="ratios",
        title="Ratios",
        text="Taken pair by pair, of the runs of one round; median, lowest and highest.",
        table=Table(("ratio", "", "at least", "median", "lowest", "highest"), rows, words=2),
        figures=figures,
    )
