"""The report of a run, in Markdown."""

from __future__ import annotations

import math
from collections import Counter

from tests.chaos.checker.effects import doubled, lost
from tests.chaos.checker.evidence import EXACTLY_ONCE, Evidence
from tests.chaos.checker.recovery import (
    TAKE_OVER,
    TARGETS,
    Recovery,
    quantile,
    recoveries,
    takeovers,
)
from tests.chaos.checker.verdict import EXACTLY_ONCE_ONLY, Verdict
from tests.chaos.run import Options

SHOWN = 20  # findings of a check


#: What a store has nothing of, and why.
NOT_DONE = {
    "sqlite": "* SQLite has no server to restart and no network to cut. It cannot end a stopped "
    "writer, so zombies were stopped outside of a transaction. Who moved a position is not known: "
    "connections have no names there.",
}


def report(options: Options, commit: str, evidence: Evidence, verdict: Verdict) -> str:
    """Return the report."""
    return "\n".join(
        [
            f"# Chaos run: {verdict.word}",
            "",
            *_summary(options, commit, evidence, verdict),
            "",
            "## Checks",
            "",
            *_checks(verdict, options.mode),
            "",
            "## Faults",
            "",
            *_faults(evidence),
            "",
            *_findings(verdict),
            *_notes(evidence, options.store),
        ]
    )


def _summary(options: Options, commit: str, evidence: Evidence, verdict: Verdict) -> list[str]:
    messages = [each for messages in evidence.visible.values() for each in messages]
    kinds = Counter(each.kind for each in messages)
    aborted = sum(len(x["messages"]) for x in evidence.feed if x["said"] == "aborted")
    ended = [fault for fault in evidence.faults if fault["said"] == "end"]
    exits = [line for line in evidence.said if line["said"] == "exit"]
    taken_over = takeovers(evidence)
    rows = {
        "seed": options.seed,
        "commit": commit,
        "store": options.store,
        "mode": options.mode,
        "mutant": options.mutant or "none",
        "planned": f"{options.minutes:g} minutes, {len(evidence.planned)} faults of "
        f"{len(set(evidence.planned))} kinds",
        "faults that took effect": f"{sum(f['took'] for f in ended)} of {len(ended)}",
        "messages": f"{len(messages)} visible in {len(evidence.visible)} partitions "
        f"({kinds['poison']} poison, {kinds['tombstone']} tombstones), {aborted} aborted",
        "effects, dead letters": f"{len(evidence.effects)}, {len(evidence.letters)}",
        "lost": len(lost(evidence)),
        "doubled": len(doubled(evidence)),
        "out of order": len(verdict.found["order"]),
        "stock errors": len(verdict.found["stock"]),
        "snapshots during the run": len(evidence.snapshots),
        "changes of offset rows": len(evidence.changes),
        "topic re-created, lives": len({line["life"] for line in evidence.side_feed}),
        "writes of zombies": len(verdict.found["protocol"]),
        "take-over, from claim to commit": _spread([each.seconds for each in taken_over]),
        "the same, no other fault of any kind beside it": _spread(
            [each.seconds for each in taken_over if each.alone]
        ),
        f"take-overs that needed more than {TAKE_OVER:g} s": late_takeovers(taken_over),
        "fenced, commits in doubt, restarts": ", ".join(
            str(sum(line["said"] == said for line in evidence.said))
            for said in ("fenced", "in doubt", "restarted")
        ),
        "workers that ended by themselves": sum(not line["expected"] for line in exits),
    }
    return ["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows.items())]


def _checks(verdict: Verdict, mode: str) -> list[str]:
    rows = []
    for name, wrong in verdict.found.items():
        promised = mode == EXACTLY_ONCE or name not in EXACTLY_ONCE_ONLY
        good = "green" if promised else "not promised in this mode"
        rows.append(f"| {name} | {f'RED: {len(wrong)}' if wrong else good} |")
    return ["| check | |", "| --- | --- |", *rows]


def _faults(evidence: Evidence) -> list[str]:
    """Recovery: seconds from the end of a fault until every partition that it touched moved."""
    planned = Counter(evidence.planned)
    took = Counter(f["kind"] for f in evidence.faults if f["said"] == "end" and f["took"])
    measured = recoveries(evidence)
    rows = []
    for kind in sorted(planned):
        of_kind = [each for each in measured if each.kind == kind]
        rows.append(f"| {kind} | {planned[kind]} | {took[kind]} | {_times(kind, of_kind)} |")
    return [
        "Recovery is the time from the end of the fault (a kill: from the kill) until every",
        "partition that it touched had moved. *Alone*: no other heavy fault fell into it.",
        "",
        "| kind | planned | took effect | alone | p50 | p99 | all: p99 | target | missed |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *rows,
    ]


def _times(kind: str, of_kind: list[Recovery]) -> str:
    alone = [each.seconds for each in of_kind if each.alone]
    everyone = [each.seconds for each in of_kind]
    target = TARGETS.get(kind)
    missed = sum(seconds > target for seconds in alone) if target else ""
    cells = [
        len(alone),
        _seconds(alone, 0.5),
        _seconds(alone, 0.99),
        _seconds(everyone, 0.99),
        f"{target:g}" if target else "",
        missed,
    ]
    return " | ".join(str(cell) for cell in cells)


def _spread(values: list[float]) -> str:
    if not values:
        return "none"
    p50, p99 = _seconds(values, 0.5), _seconds(values, 0.99)
    return f"{len(values)} times, p50 {p50} s, p99 {p99} s, longest {max(values):.2f} s"


def late_takeovers(taken_over: list[Recovery]) -> str:
    """Say in which faults a take-over missed its target, and which of these were alone."""
    late = {each.number: each.alone for each in taken_over if each.seconds > TAKE_OVER}
    faults = ", ".join(f"{number}{' (alone)' * alone}" for number, alone in sorted(late.items()))
    return f"in {len(late)} of {len({each.number for each in taken_over})} faults" + (
        f": {faults}" if faults else ""
    )


def _seconds(values: list[float], share: float) -> str:
    if not values:
        return ""
    value = quantile(values, share)
    return "never" if math.isinf(value) else f"{value:.2f}"


def _findings(verdict: Verdict) -> list[str]:
    sections = {name: wrong for name, wrong in verdict.found.items() if wrong}
    if verdict.invalid:
        sections["INVALID"] = verdict.invalid
    found = []
    for name, wrong in sections.items():
        found += [f"## {name}", "", *(f"* {each}" for each in wrong[:SHOWN])]
        found += [f"* and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
        found.append("")
    return found


def _notes(evidence: Evidence, store: str) -> list[str]:
    """What did not go as planned, without being wrong."""
    notes = [NOT_DONE[store]] if store in NOT_DONE else []
    notes += [
        f"* fault {f['number']} ({f['kind']}) had no effect: {f['note'].strip()}"
        for f in evidence.faults
        if f["said"] == "end" and not f["took"]
    ]
    notes += [
        f"* fault {f['fault']['number']} ({f['fault']['kind']}) was left out: too late, or a stall"
        for f in evidence.faults
        if f["said"] == "left out"
    ]
    notes += [
        f"* a worker ended by itself: {line['kind']}: {line['error']}"
        for line in evidence.said
        if line["said"] == "failed"
    ]
    return ["## Notes", "", *notes, ""] if notes else []
