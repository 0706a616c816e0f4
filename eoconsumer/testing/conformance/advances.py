"""Advances: only an owner moves a row, and only from where it stands."""

# ruff: noqa: D102 - a test's title is its docstring, and a transaction is a block

from __future__ import annotations

import pytest

from eoconsumer.core.positions import Identity, Move, Start
from eoconsumer.errors import Fenced
from eoconsumer.protocols import Store
from eoconsumer.testing.conformance.contract import ORDERS, RETURNS, Contract, owner, step


class AdvanceConformance(Contract):
    """A position moves under its epoch, from its expected place."""

    @pytest.mark.requirement("S3-14")
    def test_a_claim_returns_the_offset_after_the_last_one_that_advanced(
        self, store: Store
    ) -> None:
        session, rows = owner(store, "first", {ORDERS: 41})

        session.advance([step(ORDERS, rows, 42)])

        after = store.open("ledger", "second").claim([ORDERS], {})
        assert after.positions[ORDERS].next_offset == 42

    @pytest.mark.requirement("N6")
    @pytest.mark.parametrize("leader_epoch", [7, None])
    def test_the_leader_epoch_moves_with_the_position_and_the_identity_stays(
        self, store: Store, leader_epoch: int | None
    ) -> None:
        session = store.open("ledger", "first")
        here = Identity("topic", "cluster")
        start = Start(41, partitions=1, identity=here, leader_epoch=6)
        rows = dict(session.claim([ORDERS], {ORDERS: start}).positions)

        move = step(ORDERS, rows, 42)._replace(leader_epoch=leader_epoch)
        session.advance([move])
        with session.transaction() as transaction:
            transaction.advance([move._replace(expected=42, upto=43)])

        row = session.positions([ORDERS])[ORDERS]
        assert (row.next_offset, row.identity, row.leader_epoch) == (43, here, leader_epoch)

    def test_offsets_use_all_of_63_bits(self, store: Store) -> None:
        session, rows = owner(store, "first", {ORDERS: 2**62})

        session.advance([step(ORDERS, rows, 2**63 - 1)])

        assert session.positions([ORDERS])[ORDERS].next_offset == 2**63 - 1

    def test_what_is_written_through_the_session_of_a_reader_stands_at_once(
        self, store: Store
    ) -> None:
        """It is what handlers get where there is no transaction."""
        session, _ = owner(store, "first", {ORDERS: 0})

        self.write(store, session.session, "sold")

        assert self.read(store) == ["sold"]

    def test_nothing_to_advance_is_nothing_to_do(self, store: Store) -> None:
        store.open("ledger", "first").advance([])

    @pytest.mark.parametrize("what", ["epoch", "position"])
    def test_an_advance_with_an_old_epoch_or_position_is_fenced(
        self, store: Store, what: str
    ) -> None:
        session, rows = owner(store, "first", {ORDERS: 5})
        good = step(ORDERS, rows, 10)
        old = {"epoch": good._replace(epoch=good.epoch - 1), "position": good._replace(expected=4)}

        with pytest.raises(Fenced) as fenced:
            session.advance([old[what]])

        assert fenced.value.partitions == (ORDERS,)
        assert session.positions([ORDERS]) == {ORDERS: rows[ORDERS]}

    def test_a_partition_without_a_row_is_fenced(self, store: Store) -> None:
        with pytest.raises(Fenced) as fenced:
            store.open("ledger", "first").advance([Move(ORDERS, 1, 0, 1)])

        assert fenced.value.partitions == (ORDERS,)

    def test_outside_of_a_transaction_the_partitions_that_are_ours_advance(
        self, store: Store
    ) -> None:
        session, rows = owner(store, "first", {ORDERS: 0, RETURNS: 0})
        store.open("ledger", "second").claim([RETURNS], {})

        with pytest.raises(Fenced) as fenced:
            session.advance([step(ORDERS, rows, 10), step(RETURNS, rows, 10)])

        assert fenced.value.partitions == (RETURNS,)
        after = session.positions([ORDERS, RETURNS])
        assert [after[key].next_offset for key in (ORDERS, RETURNS)] == [10, 0]
