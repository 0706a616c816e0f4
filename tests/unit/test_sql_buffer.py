"""What handlers returned for a SQL store waits in a form that takes less, and comes back."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import column, delete, insert, table, text

from eoconsumer.stores.sql.groups import Buffer, Group, grouped

LEDGER = table("ledger", column("n"), column("item"))
STATEMENTS = (insert(LEDGER), delete(LEDGER), text("SELECT 1"))
PARAMETERS = st.sampled_from(
    [{"n": 1}, {"n": 2}, {"item": "mug"}, {"n": 3, "item": "tea"}, {"item": "cup", "n": 4}, {}]
)
WRITES = st.one_of(
    st.tuples(st.sampled_from(STATEMENTS), PARAMETERS),
    st.tuples(st.just(STATEMENTS[0]), st.just({"n": 1})),
    st.sampled_from(STATEMENTS),
)
PARTS = st.lists(st.lists(WRITES, max_size=4), max_size=6)


def filled(parts: list[list[Any]]) -> Buffer:
    buffer = Buffer()
    for part in parts:
        buffer.extend(part)
    return buffer


def shown(groups: list[Group]) -> list[tuple[int, list[Any]]]:
    return [(STATEMENTS.index(group.statement), group.parameters) for group in groups]


@given(PARTS, st.slices(20))
def test_a_buffer_returns_what_was_put_into_it_in_order(
    parts: list[list[Any]], some: slice
) -> None:
    buffer, everything = filled(parts), [write for part in parts for write in part]
    assert len(buffer) == len(everything)
    assert [repr(write) for write in buffer] == [repr(write) for write in everything]
    assert [repr(write) for write in buffer[some]] == [repr(write) for write in everything[some]]


@given(PARTS)
def test_a_buffer_is_sent_as_a_list_of_the_same_writes_is(parts: list[list[Any]]) -> None:
    everything = [write for part in parts for write in part]
    sent = shown(grouped(filled(parts)))
    assert sent == shown(grouped(everything))
    assert sum(max(1, len(parameters)) for _, parameters in sent) == len(everything)


def test_of_writes_of_one_statement_only_the_values_are_kept() -> None:
    buffer = filled(
        [[(STATEMENTS[0], {"n": 1, "item": "a"})], [(STATEMENTS[0], {"item": "b", "n": 2})]]
    )
    assert buffer.group == Group(STATEMENTS[0], ("n", "item"), [(1, "a"), (2, "b")])


def test_writes_with_as_many_but_other_names_are_not_sent_as_one() -> None:
    buffer = filled([[(STATEMENTS[0], {"n": 1}), (STATEMENTS[0], {"item": "tea"})]])
    assert shown(grouped(buffer)) == [(0, [{"n": 1}]), (0, [{"item": "tea"}])]
