"""`eoconsumer bench limit`: the library against the best loop written by hand for the same work."""

from __future__ import annotations

from eoconsumer.cli.bench.limit import adaptive, latency, memory, start, throughput
from eoconsumer.cli.bench.limit.plan import Plan
from eoconsumer.cli.bench.report.model import Section
from eoconsumer.cli.bench.stage import Stage
from eoconsumer.cli.bench.view import View


def measure(plan: Plan, stage: Stage, view: View) -> list[Section]:
    """Measure all that ``plan`` names; return a section for each question."""
    sections = list[Section]()
    if plan.needs_load:
        view.say(f"Producing {plan.messages:,} messages of 200 bytes")
        load = stage.filled(plan.messages)
        if plan.sides:
            sections += throughput.measure(plan, load, stage, view)
        if "adaptive" in plan.only:
            sections.append(adaptive.measure(plan, load, stage, view))
        if "start" in plan.only:
            sections.append(start.measure(plan, load, stage, view))
    if "latency" in plan.only:
        sections.append(latency.measure(plan, stage, view))
    if "memory" in plan.only:
        sections.append(memory.measure(plan, stage, view))
    return sections
