"""`eoconsumer bench modes`: the same documents in every mode and with every form of a handler."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from eoconsumer.cli.bench.modes import sections
from eoconsumer.cli.bench.modes.plan import PARTITIONS, Plan
from eoconsumer.cli.bench.modes.trial import Counted, Measured, Trial
from eoconsumer.cli.bench.report.model import Section
from eoconsumer.cli.bench.stage import Load, Stage
from eoconsumer.cli.bench.turns import in_words
from eoconsumer.cli.bench.view import View
from eoconsumer.cli.examples import Feed


def measure(plan: Plan, stage: Stage, view: View) -> list[Section]:
    """Kill, measure and time all variants of ``plan``; return a section for each question."""
    view.say(f"Producing {plan.documents:,} documents")
    load = stage.empty(plan.documents, PARTITIONS)
    asyncio.run(_feed(load, plan).produce(plan.documents, skip=0))
    found = [
        sections.under_kills(_under_kills(plan, load, stage, view)),
        *sections.at_full_load(_at_full_load(plan, load, stage, view)),
    ]
    return [*found, sections.at_rates(_at_rates(plan, stage, view))] if plan.rates else found


def _under_kills(plan: Plan, load: Load, stage: Stage, view: View) -> dict[str, Counted]:
    found = {}
    for name in plan.only:
        view.begin(name)
        with _trial(name, load, stage) as trial:
            found[name] = asyncio.run(trial.under_kills(plan.crashes))
        view.end(name, "killed", found[name].in_words)
    return found


def _at_full_load(plan: Plan, load: Load, stage: Stage, view: View) -> dict[str, list[Measured]]:
    """Let the variants take turns; the first round is not counted."""
    found: dict[str, list[Measured]] = {name: [] for name in plan.only}
    for number in range(plan.rounds + 1):
        for name in plan.only:
            view.begin(name)
            with _trial(name, load, stage) as trial:
                measured = asyncio.run(trial.left_alone())
            if number:
                found[name].append(measured)
            round_ = f"round {number}" if number else "warm-up"
            view.end(name, round_, in_words(measured.result))
    return found


def _at_rates(plan: Plan, stage: Stage, view: View) -> dict[str, dict[int, Measured]]:
    found: dict[str, dict[int, Measured]] = {name: {} for name in plan.only}
    for rate in plan.rates:
        for name in plan.only:
            view.begin(name)
            load = stage.empty(rate * plan.seconds, PARTITIONS)
            with _trial(name, load, stage) as trial:
                measured = asyncio.run(trial.left_alone(_feed(load, plan), rate))
            found[name][rate] = measured
            view.end(name, f"{rate:,}/s", in_words(measured.result))
    return found


def _feed(load: Load, plan: Plan) -> Feed:
    return Feed(load.bootstrap, load.topic, plan.seed)


@contextmanager
def _trial(name: str, load: Load, stage: Stage) -> Iterator[Trial]:
    database = f"bench_{uuid.uuid4().hex[:12]}"
    try:
        yield Trial(name, load, stage.mongo.url_for(database), stage.pids, stage.counters)
    finally:
        # A killed worker leaves its transaction open, and for a minute nothing could be dropped.
        stage.client.admin.command("killAllSessions", [])
        stage.client.drop_database(database)
