"""All checks together, and what makes a run invalid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.chaos.checker.canary import check_canary
from tests.chaos.checker.concerns import check_concerns
from tests.chaos.checker.effects import check_effects, check_skipped, doubled, lost
from tests.chaos.checker.evidence import AT_LEAST_ONCE, AT_MOST_ONCE, Evidence
from tests.chaos.checker.order import check_order, check_stock
from tests.chaos.checker.protocol import check_protocol
from tests.chaos.checker.recovery import check_recovery
from tests.chaos.checker.snapshots import check_snapshots

CHECKS: dict[str, Callable[[Evidence], list[str]]] = {
    "effects": check_effects,
    "skipped": check_skipped,
    "order": check_order,
    "stock": check_stock,
    "snapshot": check_snapshots,
    "protocol": check_protocol,
    "concerns": check_concerns,
    "recovery": check_recovery,
    "canary": check_canary,
}

#: The broker says so after a restart, see ``plan.py``.
BROKEN_GROUP = "Failed to load metadata from __consumer_offsets"

#: What only a transaction can promise.
EXACTLY_ONCE_ONLY = {"order", "stock", "snapshot"}


@dataclass(slots=True)
class Verdict:
    """What each check found wrong, and why the run may prove nothing."""

    found: dict[str, list[str]] = field(default_factory=dict)
    invalid: list[str] = field(default_factory=list)

    @property
    def red(self) -> list[str]:
        """The names of the checks that found something."""
        return [name for name, wrong in self.found.items() if wrong]

    @property
    def word(self) -> str:
        return "RED" if self.red else "INVALID" if self.invalid else "GREEN"


def judge(evidence: Evidence) -> Verdict:
    """Run every check."""
    return Verdict({name: check(evidence) for name, check in CHECKS.items()}, invalid(evidence))


def invalid(evidence: Evidence) -> list[str]:
    """Say why a run without a finding would prove nothing."""
    took = Counter(f["kind"] for f in evidence.faults if f["said"] == "end" and f["took"])
    found = [
        f"{kind!r} never took effect" for kind in dict.fromkeys(evidence.planned) if not took[kind]
    ]
    there = {
        (place[1], message.offset)
        for place, messages in evidence.visible.items()
        for message in messages
    }
    taken = {
        (each["partition"], each["offset"])
        for line in evidence.feed
        for each in ([line] if line["said"] == "produced" else line.get("messages", []))
        if line["said"] in ("produced", "committed")
    }
    if missing := taken - there:
        found.append(f"the topic does not have {len(missing)} messages that the broker had taken")
    if not taken or any(line["said"] == "failed" for line in evidence.feed):
        found.append("the feeder fed nothing, or ended early")
    if BROKEN_GROUP in evidence.written.get("broker.log", ""):
        found.append("the broker cannot load its groups: nobody can join (KAFKA-21117)")
    if not evidence.snapshots:
        found.append("nobody looked during the run")
    if not any(line["said"] == "command" for line in evidence.said):
        found.append("no commands were recorded")
    if any(change["said"] == "stream lost" for change in evidence.changes):
        found.append("changes of the rows were missed")
    if evidence.mode == AT_LEAST_ONCE and not doubled(evidence):
        found.append("at-least-once shows no doubles: the faults did not reach the gap")
    if evidence.mode == AT_MOST_ONCE and not lost(evidence):
        found.append("at-most-once shows no losses: the faults did not reach the gap")
    return found
