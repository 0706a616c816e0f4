"""How long it took after each fault until all that it touched went on."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from tests.chaos.checker.evidence import Evidence, Line, Place

#: No recovery that met no other fault may need longer, in seconds. MongoDB forgets the transaction
#: of a dead process after 60 s (transactionLifetimeLimitSeconds): who needs more than two thirds of
#: that has waited for it. Every other time-out on the way (session 2 s, election 2 s, heartbeats,
#: backoff) is far shorter.
HARD = 40.0
#: The same where one fault follows another: on a slow machine their times add up.
EVER = 120.0

#: What is aimed at, in seconds: session time-out 2 s + 2 s; elections of 2 s.
TARGETS = {
    "kill": 4.0,
    "kill in the handler": 4.0,
    "kill after the offset write": 4.0,
    "kill before the commit's reply": 4.0,
    "kill after the commit": 4.0,
    "zombie": 4.0,
    "primary kill": 5.0,
}

#: The longest that a take-over may need from its claim to its first commit, in seconds.
TAKE_OVER = 2.0

#: After these, others take partitions over that nobody gave up.
TAKEN_OVER = {kind for kind in TARGETS if kind != "primary kill"}

#: Faults that hold others up for longer than a moment: their recoveries cannot be told apart.
HEAVY = {
    "kill", "kill in the handler", "kill after the offset write", "kill before the commit's reply",
    "zombie", "terminate", "churn", "protocol", "step-down", "no majority", "replies dropped",
    "requests dropped", "open transaction", "primary kill", "primary pause", "broker kill",
    "broker pause", "kill after the commit", "server restart",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recovery:
    """``seconds`` from the end of the fault, or from a claim after it, until there was progress."""

    number: int
    kind: str
    seconds: float
    alone: bool  # no other fault (of the heavy ones) fell into it


def recoveries(evidence: Evidence) -> list[Recovery]:
    """Return the recovery of each fault that took effect; infinite if there was none."""
    moved = _moves(evidence.changes)
    due = _produced(evidence.feed)
    claimed: dict[Place, float] = {}  # when each partition was claimed first
    for change in evidence.changes:
        if "topic" in change:
            claimed.setdefault((change["topic"], change["partition"]), change["at"])
    ended = [fault for fault in evidence.faults if fault["said"] == "end"]
    found = []
    for fault in ended:
        since = fault["since"]
        if not fault["took"] or since is None:
            continue
        named = fault["places"]
        places = (
            [place for place, at in claimed.items() if at < since]
            if named is None
            else [tuple(place) for place in named]
        )
        times = [
            _next(moved.get(place, []), since) - since
            for place in places
            if _next(due.get(place[1], []), since) < math.inf
        ]
        if not times:  # nothing came that would show it
            continue
        seconds = max(times)
        alone = _alone(fault, since + seconds, ended, HEAVY)
        found.append(Recovery(fault["number"], fault["kind"], seconds, alone))
    return found


def takeovers(evidence: Evidence) -> list[Recovery]:
    """Return what went by from a claim to its first commit, after a kill or under a zombie.

    Only where messages waited at the claim. Alone is who met no other fault of any kind: one that
    is injected into commits, say, holds the first one up however light it is otherwise.
    """
    moved, due = _moves(evidence.changes), _produced(evidence.feed)
    claimed: dict[Place, list[float]] = defaultdict(list)
    for change in evidence.changes:
        if "epoch" in change.get("fields", {}):
            claimed[change["topic"], change["partition"]].append(change["at"])
    ended = [fault for fault in evidence.faults if fault["said"] == "end"]
    found = []
    for fault in ended:
        if fault["kind"] not in TAKEN_OVER or not fault["took"]:
            continue
        for place in map(tuple, fault["places"] or []):
            claim = _next(claimed[place], fault["since"])
            first = _next(moved.get(place, []), claim)
            if _next(due.get(place[1], []), fault["since"]) < claim and first < math.inf:
                alone = _alone(fault, first, ended, {other["kind"] for other in ended})
                found.append(Recovery(fault["number"], fault["kind"], first - claim, alone))
    return found


def _alone(fault: Line, until: float, ended: list[Line], kinds: Collection[str]) -> bool:
    """Say whether no other fault of these kinds fell into the recovery from this one."""
    return not any(
        other["kind"] in kinds
        and other["number"] != fault["number"]
        and other["begun"] < until
        and other["at"] > fault["since"]
        for other in ended
    )


def check_recovery(evidence: Evidence) -> list[str]:
    """No fault takes longer than the hard limit, and none that others follow takes for ever."""
    return [
        f"fault {each.number} ({each.kind}): {each.seconds:.1f} s until progress, limit {limit:.0f}"
        for each in (*recoveries(evidence), *takeovers(evidence))
        if each.seconds > (limit := HARD if each.alone else EVER)
    ]


def quantile(values: list[float], share: float) -> float:
    """Return the smallest value that ``share`` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _moves(changes: list[Line]) -> dict[Any, list[float]]:
    moved: dict[Place, list[float]] = defaultdict(list)
    for change in changes:
        if "next_offset" in change.get("fields", {}) and "epoch" not in change["fields"]:
            moved[change["topic"], change["partition"]].append(change["at"])
    return moved


def _produced(feed: list[Line]) -> dict[int, list[float]]:
    """Return when the broker took messages, for each partition."""
    times: dict[int, list[float]] = defaultdict(list)
    for line in feed:
        if line["said"] == "produced":
            times[line["partition"]].append(line["at"])
    return times


def _next(times: list[float], since: float) -> float:
    at = bisect_right(times, since)
    return times[at] if at < len(times) else math.inf
