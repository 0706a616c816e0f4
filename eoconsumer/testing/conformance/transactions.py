"""Transactions: both or neither, for the owner only."""

# ruff: noqa: D102, PT012 - a test's title is its docstring, and a transaction is a block

from __future__ import annotations

import pytest

from eoconsumer.core.capabilities import Capability
from eoconsumer.core.positions import Move
from eoconsumer.errors import Fenced, TransientStoreError
from eoconsumer.message import TopicPartition
from eoconsumer.protocols import Store
from eoconsumer.testing.conformance.contract import ORDERS, RETURNS, Contract, needs, owner, step


class TransactionConformance(Contract):
    """Writes and positions are visible together, or never."""

    @pytest.mark.requirement("S3-06")
    def test_writes_and_position_become_visible_together_at_the_commit(self, store: Store) -> None:
        session, rows = owner(store, "first", {ORDERS: 0})
        looker = store.open("ledger", "looker")

        with session.transaction() as transaction:
            self.write(store, transaction.session, "sold")
            transaction.advance([step(ORDERS, rows, 1)])
            assert self.read(store) == []
            assert looker.positions([ORDERS])[ORDERS].next_offset == 0

        assert self.read(store) == ["sold"]
        assert looker.positions([ORDERS])[ORDERS].next_offset == 1

    @pytest.mark.requirement("S3-06")
    def test_an_error_rolls_back_writes_and_position(self, store: Store) -> None:
        session, rows = owner(store, "first", {ORDERS: 0})

        with pytest.raises(ZeroDivisionError), session.transaction() as transaction:
            self.write(store, transaction.session, "sold")
            transaction.advance([step(ORDERS, rows, 1)])
            raise ZeroDivisionError

        assert self.read(store) == []
        assert session.positions([ORDERS]) == {ORDERS: rows[ORDERS]}

    def test_transactions_follow_one_another_on_a_session(self, store: Store) -> None:
        session, rows = owner(store, "first", {ORDERS: 0})
        for offset, text in enumerate(["bought", "sold", "returned"]):
            with session.transaction() as transaction:
                self.write(store, transaction.session, text)
                transaction.advance([Move(ORDERS, rows[ORDERS].epoch, offset, offset + 1)])

        assert sorted(self.read(store)) == ["bought", "returned", "sold"]

    def test_an_aborted_transaction_may_be_aborted_again_and_followed_by_another(
        self, store: Store
    ) -> None:
        session, rows = owner(store, "first", {ORDERS: 0})
        transaction = session.transaction()
        self.write(store, transaction.session, "never")
        transaction.abort()
        transaction.abort()

        with session.transaction() as another:
            self.write(store, another.session, "sold")
            another.advance([step(ORDERS, rows, 1)])

        assert self.read(store) == ["sold"]

    @pytest.mark.requirement("S3-19")
    def test_a_commit_that_is_repeated_has_its_effect_once(self, store: Store) -> None:
        session, rows = owner(store, "first", {ORDERS: 0})
        transaction = session.transaction()
        self.write(store, transaction.session, "sold")
        transaction.advance([step(ORDERS, rows, 1)])

        transaction.commit()
        transaction.commit()

        assert self.read(store) == ["sold"]
        assert session.positions([ORDERS])[ORDERS].next_offset == 1

    def test_a_batch_that_is_done_again_after_its_commit_is_fenced(self, store: Store) -> None:
        session, rows = owner(store, "first", {ORDERS: 0})

        def batch() -> None:
            with session.transaction() as transaction:
                self.write(store, transaction.session, "sold")
                transaction.advance([step(ORDERS, rows, 1)])

        batch()
        with pytest.raises(Fenced) as fenced:
            batch()

        assert fenced.value.partitions == (ORDERS,)
        assert self.read(store) == ["sold"]

    def test_if_one_partition_is_fenced_nothing_of_the_others_stays(self, store: Store) -> None:
        session, rows = owner(store, "first", {ORDERS: 0, RETURNS: 0})
        store.open("ledger", "second").claim([RETURNS], {})

        with pytest.raises(Fenced) as fenced, session.transaction() as transaction:
            self.write(store, transaction.session, "sold")
            transaction.advance([step(ORDERS, rows, 1), step(RETURNS, rows, 1)])

        assert fenced.value.partitions == (RETURNS,)
        assert self.read(store) == []
        assert session.positions([ORDERS]) == {ORDERS: rows[ORDERS]}

    def test_all_partitions_that_are_fenced_are_named(self, store: Store) -> None:
        keys = {ORDERS: 0, RETURNS: 0, TopicPartition("orders", 1): 0}
        session, rows = owner(store, "first", keys)
        store.open("ledger", "second").claim([ORDERS, RETURNS], {})

        with pytest.raises(Fenced) as fenced, session.transaction() as transaction:
            transaction.advance([step(key, rows, 1) for key in keys])

        assert set(fenced.value.partitions) == {ORDERS, RETURNS}

    @pytest.mark.parametrize("when", ["before its writes", "before its advance"])
    def test_an_owner_that_is_replaced_within_its_transaction_does_not_commit(
        self, store: Store, when: str
    ) -> None:
        session, rows = owner(store, "first", {ORDERS: 0})
        second = store.open("ledger", "second")

        with pytest.raises((Fenced, TransientStoreError)), session.transaction() as transaction:
            if when == "before its writes":
                second.claim([ORDERS], {})
            self.write(store, transaction.session, "sold")
            if when == "before its advance":
                second.claim([ORDERS], {})
            transaction.advance([step(ORDERS, rows, 1)])

        assert self.read(store) == []
        assert second.positions([ORDERS])[ORDERS].next_offset == 0

    @needs(Capability.MANY_WRITERS)
    def test_a_former_owner_goes_on_with_the_partitions_that_it_still_has(
        self, store: Store
    ) -> None:
        session, rows = owner(store, "first", {ORDERS: 0, RETURNS: 0})
        transaction = session.transaction()
        self.write(store, transaction.session, "sold")

        store.open("ledger", "second").claim([RETURNS], {})
        transaction.advance([step(ORDERS, rows, 1)])
        transaction.commit()

        assert self.read(store) == ["sold"]
