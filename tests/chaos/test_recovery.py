"""Take-overs are measured from the claim to the first commit, and told apart by what fell in."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.checker import Evidence
from tests.chaos.checker.recovery import takeovers
from tests.chaos.report import late_takeovers

PLACE = ("transfers", 0)


def change(at: float, **fields: Any) -> dict[str, Any]:
    return {"at": at, "topic": PLACE[0], "partition": PLACE[1], "fields": fields}


def fault(number: int, kind: str, begun: float, at: float) -> dict[str, Any]:
    end = {"said": "end", "number": number, "kind": kind, "begun": begun, "at": at}
    return end | {"since": begun, "took": True, "places": [list(PLACE)]}


def a_kill_at_10(*others: dict[str, Any]) -> Evidence:
    """The partition is claimed at 12.0 and moves at 14.5; a message waits since 11.0."""
    return Evidence(
        feed=[{"said": "produced", "partition": 0, "at": 11.0}],
        changes=[change(12.0, epoch=2, owner="b"), change(14.5, next_offset=1)],
        faults=[fault(1, "kill", 10.0, 14.6), *others],
    )


def test_a_takeover_lasts_from_the_claim_until_the_first_commit() -> None:
    (only,) = takeovers(a_kill_at_10())
    assert only.seconds == pytest.approx(2.5)
    assert only.alone


def test_a_takeover_is_alone_only_where_no_fault_of_any_kind_fell_in() -> None:
    (beside,) = takeovers(a_kill_at_10(fault(2, "unknown commit", 13.0, 13.5)))
    assert not beside.alone
    (before,) = takeovers(a_kill_at_10(fault(2, "unknown commit", 8.0, 9.0)))
    assert before.alone


def test_the_report_names_each_fault_whose_takeover_was_late() -> None:
    assert late_takeovers(takeovers(a_kill_at_10())) == "in 1 of 1 faults: 1 (alone)"
    beside = takeovers(a_kill_at_10(fault(2, "poison", 13.0, 13.5)))
    assert late_takeovers(beside) == "in 1 of 1 faults: 1"
    early = Evidence(
        feed=[{"said": "produced", "partition": 0, "at": 11.0}],
        changes=[change(12.0, epoch=2, owner="b"), change(12.2, next_offset=1)],
        faults=[fault(1, "kill", 10.0, 12.6)],
    )
    assert late_takeovers(takeovers(early)) == "in 0 of 1 faults"
