"""The applied-log: written with the positions, each line once, read by offset."""

# ruff: noqa: D102, PT012 - a test's title is its docstring, and a transaction is a block

from __future__ import annotations

import pytest

from eoconsumer.core.applied import Applied
from eoconsumer.core.capabilities import Capability
from eoconsumer.protocols import Store
from eoconsumer.testing.conformance.contract import ORDERS, RETURNS, Contract, needs, owner, step

LINE = Applied(ORDERS, 1, 1, ((0, 5), (7, 8)), (5, 6))


def read(store: Store, first: int = 0, upto: int = 100) -> list[Applied]:
    """Return what the log of the group "ledger" has of a range of orders."""
    return list(store.applied("ledger", ORDERS, first, upto))


@needs(Capability.APPLIED_LOG)
class AppliedConformance(Contract):
    """The log says what was applied, as far as it was committed."""

    @pytest.mark.requirement("N8")
    def test_a_line_of_the_applied_log_is_visible_with_the_position(self, store: Store) -> None:
        session, rows = owner(store, "first", {ORDERS: 0})

        with session.transaction() as transaction:
            transaction.note_applied([LINE])
            transaction.advance([step(ORDERS, rows, 8)])
            assert read(store) == []

        assert read(store) == [LINE]

    def test_a_line_of_the_applied_log_is_rolled_back_with_its_transaction(
        self, store: Store
    ) -> None:
        session, _ = owner(store, "first", {ORDERS: 0})

        with pytest.raises(ZeroDivisionError), session.transaction() as transaction:
            transaction.note_applied([LINE])
            raise ZeroDivisionError

        assert read(store) == []

    def test_a_line_that_is_written_again_outside_of_a_transaction_is_there_once(
        self, store: Store
    ) -> None:
        session = store.open("ledger", "first")

        for _ in range(2):
            session.note_applied([LINE])

        assert read(store) == [LINE]

    def test_a_line_of_the_applied_log_that_is_there_is_left_as_it_is(self, store: Store) -> None:
        session = store.open("ledger", "first")
        session.note_applied([LINE])
        same = Applied(ORDERS, LINE.epoch, LINE.number, ((0, 50),))

        session.note_applied([same])
        with session.transaction() as transaction:
            transaction.note_applied([same])

        assert read(store) == [LINE]

    def test_the_applied_log_is_read_by_offset_and_only_where_it_reaches_into_the_range(
        self, store: Store
    ) -> None:
        session = store.open("ledger", "first")
        log = [Applied(ORDERS, 3, n, ((at, at + 10),)) for n, at in enumerate((30, 10, 2**62, 20))]

        session.note_applied(log)

        assert read(store, 0, 2**63 - 1) == [log[1], log[3], log[0], log[2]]
        assert read(store, 20, 30) == [log[3]]
        assert read(store, 19, 31) == [log[1], log[3], log[0]]

    def test_the_applied_log_is_that_of_a_group_and_of_a_partition(self, store: Store) -> None:
        store.open("ledger", "first").note_applied([LINE])
        store.open("ledgers", "second").note_applied([LINE])
        elsewhere = Applied(RETURNS, 1, 1, ((0, 5),))
        store.open("ledger", "first").note_applied([elsewhere])

        assert read(store) == [LINE]
        assert list(store.applied("ledger", RETURNS, 0, 100)) == [elsewhere]
