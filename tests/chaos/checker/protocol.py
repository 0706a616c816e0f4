"""Who may change an offset row: after a claim, only its claimer; and never back."""

from __future__ import annotations

from dataclasses import dataclass

from tests.chaos.checker.evidence import EXACTLY_ONCE, Evidence, Line, Place


@dataclass(slots=True)
class Row:
    """What the row says, change by change."""

    epoch: int = 0
    next: int = 0
    session: str | None = None  # of the owner


def check_protocol(evidence: Evidence) -> list[str]:
    """Follow each row through its changes."""
    rows: dict[Place, Row] = {}
    found = []
    for change in evidence.changes:
        if "topic" not in change:
            continue
        place = change["topic"], change["partition"]
        row = rows.setdefault(place, Row())
        wrong = _follow(row, change, exactly=evidence.mode == EXACTLY_ONCE)
        found += [f"{place[0]} [{place[1]}], epoch {row.epoch}: {each}" for each in wrong]
    return found


def _follow(row: Row, change: Line, *, exactly: bool) -> list[str]:
    if change["said"] not in ("insert", "update"):
        return [f"there was a {change['said']} of the row"]
    fields = change["fields"]
    found = []
    to = fields.get("next_offset", row.next)
    if to < row.next:
        found.append(f"the position went back from {row.next} to {to}")
    if "epoch" in fields:
        if fields["epoch"] != row.epoch + 1:
            found.append(f"a claim made epoch {fields['epoch']} of {row.epoch}")
        if change["said"] == "update" and to != row.next:
            found.append(f"a claim moved the position from {row.next} to {to}")
        row.epoch = fields["epoch"]
        row.session = fields.get("lsid", row.session)
    elif "next_offset" in fields and exactly:
        if row.session is None:
            found.append(f"the position was moved to {to} and nobody owned the row")
        elif change["transaction"] is None:
            found.append(f"the position was moved to {to} outside of a transaction")
        elif change["transaction"] != row.session:
            found.append(f"the position was moved to {to} by another than the claimer")
    if "lsid" in change["removed"]:
        row.session = None
    row.next = to
    return found
