"""What became of each message: found from what was produced and what was applied."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from eoconsumer.core.applied import REDRIVEN, Applied, ranges
from eoconsumer.core.verify import Comparison, Mark, Verdict, from_log, passed_for_good
from eoconsumer.message import TopicPartition

pytestmark = pytest.mark.requirement("N8")
P0 = TopicPartition("orders", 0)


def compared(
    produced: Iterable[int],
    marks: Iterable[Mark],
    buried: Iterable[int] = (),
    *,
    position: int = 100,
    keep: int | None = None,
    compacted: bool = False,
) -> Verdict:
    verdict = Verdict(keep)
    Comparison(verdict, P0, position, compacted).run(produced, marks, buried)
    return verdict


def found(verdict: Verdict) -> dict[str, list[int]]:
    return {
        kind: [finding.offset for finding in findings]
        for kind, findings in verdict.findings.items()
        if findings
    }


def marked(*offsets: int) -> list[Mark]:
    return [Mark(offset, order) for order, offset in enumerate(offsets)]


def test_what_was_applied_once_and_in_order_is_right() -> None:
    verdict = compared([0, 1, 5, 6], marked(0, 1, 5, 6))
    assert verdict.right
    assert verdict.counts == {"applied": 4}


def test_a_message_without_an_effect_is_lost() -> None:
    verdict = compared([0, 1, 2], marked(0, 2))
    assert not verdict.right
    assert found(verdict) == {"lost": [1]}


def test_a_letter_that_was_redriven_and_has_no_effect_is_lost_and_one_that_was_not_is_none() -> (
    None
):
    log = [Mark(0, passed=True), Mark(1, passed=True), Mark(1), Mark(2)]
    assert found(compared([0, 1, 2], passed_for_good(log))) == {"lost": [1, 2]}


def test_a_message_with_the_same_effect_twice_is_doubled() -> None:
    verdict = compared([0, 1], [Mark(0, 0), Mark(1, 1), Mark(1, 2), Mark(1, 3)])
    assert found(verdict) == {"doubled": [1]}
    assert verdict.findings["doubled"][0].detail == "3 times"
    assert verdict.counts["applied"] == 2


def test_several_lines_of_one_message_are_one_effect() -> None:
    lines = [Mark(0, 0, line) for line in ("debit", "credit", None)]
    assert compared([0], lines).right
    assert found(compared([0], [*lines, Mark(0, 0, "debit")])) == {"doubled": [0]}


def test_a_message_that_was_applied_before_the_one_before_it_is_out_of_order() -> None:
    verdict = compared([0, 1, 2, 3], [Mark(0, 10), Mark(1, 40), Mark(2, 20), Mark(3, 30)])
    assert found(verdict) == {"out_of_order": [2]}
    assert verdict.findings["out_of_order"][0].detail == "before 1"


def test_messages_of_one_moment_are_in_order_and_so_are_those_of_which_it_is_not_known() -> None:
    assert compared([0, 1, 2, 3], [Mark(0, 7), Mark(1, 7), Mark(2), Mark(3, 7)]).right


def test_an_effect_of_a_message_that_the_topic_does_not_have_is_unknown() -> None:
    assert found(compared([0, 2], marked(0, 1, 2))) == {"unknown": [1]}


def test_in_a_compacted_topic_a_message_may_be_gone_whose_effect_is_there() -> None:
    assert compared([0, 2], marked(0, 1, 2), compacted=True).right


def test_dead_letters_and_skipped_messages_are_not_lost() -> None:
    verdict = compared([0, 1, 2, 3], [Mark(0, 0), Mark(2, passed=True)], buried=[1, 2])
    assert found(verdict) == {"lost": [3]}
    assert verdict.counts == {"applied": 1, "buried": 2, "lost": 1}
    assert compared([0], [Mark(0, passed=True)]).counts == {"passed": 1}


def test_a_dead_letter_that_was_redriven_is_applied() -> None:
    assert compared([0, 1], marked(0, 1), buried=[1]).counts == {"applied": 2}


def test_what_lies_from_the_position_on_is_not_lost_but_not_applied_yet() -> None:
    verdict = compared([0, 1, 2, 3], marked(0, 2), position=1)
    assert verdict.right
    assert verdict.counts == {"applied": 2, "not_yet": 2}


def test_of_many_findings_all_are_counted_and_the_first_are_kept() -> None:
    verdict = compared(range(50), [], keep=3)
    assert verdict.counts["lost"] == 50
    assert found(verdict) == {"lost": [0, 1, 2]}


# --- the applied-log ------------------------------------------------------------------------------


def test_ranges_keep_gaps_and_the_order_of_handling() -> None:
    assert ranges([3, 4, 5, 9, 7, 8]) == ((3, 6), (9, 10), (7, 9))
    assert ranges([]) == ()


def line(number: int, *offsets: int, epoch: int = 1, passed: tuple[int, ...] = ()) -> Applied:
    return Applied(P0, epoch, number, ranges(offsets), passed)


def test_a_log_becomes_marks_by_offset_with_the_order_of_the_lines() -> None:
    log = [line(1, 0, 1, 4), line(2, 5, passed=(6,)), line(1, 7, epoch=2)]
    marks = list(from_log(log))
    assert [mark.offset for mark in marks] == [0, 1, 4, 5, 6, 7]
    assert [mark.passed for mark in marks] == [False] * 4 + [True, False]
    assert compared([0, 1, 4, 5, 6, 7], marks).right


def test_lines_that_overlap_are_seen_as_doubled() -> None:
    log = [line(1, 0, 1, 2, 3), line(2, 2, 3, 4, 5), line(1, 3, epoch=2)]
    verdict = compared(range(6), from_log(log))
    assert found(verdict) == {"doubled": [2, 3]}


def test_a_letter_that_was_redriven_has_no_place_in_the_order() -> None:
    log = [line(1, 0, 1), line(77, 2, epoch=REDRIVEN), line(2, 3)]
    assert compared(range(4), from_log(log)).counts == {"applied": 4}


def test_lines_in_the_wrong_order_are_seen_by_number_by_epoch_and_within_a_line() -> None:
    assert found(compared(range(4), from_log([line(2, 0, 1), line(1, 2, 3)]))) == {
        "out_of_order": [2]
    }
    assert found(compared(range(4), from_log([line(1, 0, 1, epoch=2), line(9, 2, 3)]))) == {
        "out_of_order": [2]
    }
    assert found(compared(range(4), from_log([line(1, 2, 3, 0, 1)]))) == {"out_of_order": [2]}
