"""The last message before a position is found, whatever gaps the log has."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from eoconsumer.core.identity import Found
from eoconsumer.core.looking import FAR, LastBefore


def search(log: Iterable[int], position: int, low: int = 0) -> tuple[int | None, int]:
    """Return what is found in a log with messages at these offsets, and the number of questions."""
    offsets = sorted(log)
    looking, questions = LastBefore(position, low), 0
    while (asked := looking.question) is not None:
        assert asked >= low
        questions += 1
        first = next((offset for offset in offsets if offset >= asked), None)
        looking.learn(None if first is None else Found(first, 0))
    return (None if looking.found is None else looking.found.offset), questions


def test_without_a_gap_it_is_one_question() -> None:
    assert search(range(100), 42) == (41, 1)


def test_behind_a_marker_of_a_transaction_it_is_two() -> None:
    assert search([*range(41), *range(42, 100)], 42) == (40, 2)


def test_a_log_without_messages_before_the_position_is_not_searched_for_ever() -> None:
    assert search([], 10**9) == (None, 11)
    assert search(range(50, 60), 50, low=50) == (None, 0)


@given(
    st.sets(st.integers(0, 3 * FAR)), st.integers(1, 3 * FAR), st.integers(0, FAR)
)  # gaps are wide where few are drawn
def test_it_is_the_last_one_before_the_position(log: set[int], position: int, low: int) -> None:
    kept = {offset for offset in log if offset >= low}
    before = max((offset for offset in kept if offset < position), default=None)
    near = before is not None and before >= position - FAR

    found, questions = search(kept, position, low)

    assert found == (before if near else None)
    assert questions <= 21
