"""Commits whose answer is lost, and transactions that must not commit."""

# ruff: noqa: D102, PT012 - a test's title is its docstring, and a transaction is a block

from __future__ import annotations

import pytest

from eoconsumer.errors import CommitInDoubt, HandlerMisuse, TransientStoreError
from eoconsumer.protocols import Store, Transaction
from eoconsumer.testing.conformance.contract import ORDERS, Contract, owner, step


class CommitConformance(Contract):
    """Whatever is answered to a commit, writes and position agree."""

    @pytest.mark.requirement("N3", "S3-19")
    def test_a_commit_whose_answer_was_lost_may_be_repeated_and_has_its_effect_once(
        self, store: Store
    ) -> None:
        session, rows = owner(store, "first", {ORDERS: 0})
        transaction = session.transaction()
        self.write(store, transaction.session, "sold")
        transaction.advance([step(ORDERS, rows, 1)])

        with self.commit_answers_lost(store), pytest.raises(CommitInDoubt):
            transaction.commit()
        self._repeat(transaction)

        # The position tells, whatever the repeated commit did.
        sold = session.positions([ORDERS])[ORDERS].next_offset
        assert self.read(store) == ["sold"] * sold

    @pytest.mark.requirement("N3")
    def test_after_a_lost_answer_the_position_tells_the_next_owner_what_is_done(
        self, store: Store
    ) -> None:
        session, rows = owner(store, "first", {ORDERS: 0})
        transaction = session.transaction()
        self.write(store, transaction.session, "sold")
        transaction.advance([step(ORDERS, rows, 1)])

        with self.commit_answers_lost(store), pytest.raises(CommitInDoubt):
            transaction.commit()
        transaction.abort()
        session.close()

        claims = store.open("ledger", "second").claim([ORDERS], {})
        assert self.read(store) == ["sold"] * claims.positions[ORDERS].next_offset

    @pytest.mark.requirement("S3-22")
    def test_an_error_that_the_handler_kept_to_itself_dooms_the_transaction(
        self, store: Store
    ) -> None:
        session, rows = owner(store, "first", {ORDERS: 0})

        with pytest.raises(HandlerMisuse), session.transaction() as transaction:
            self.write(store, transaction.session, "sold")
            self.swallow_an_error(store, transaction.session)
            transaction.advance([step(ORDERS, rows, 1)])

        assert self.read(store) == []
        assert session.positions([ORDERS]) == {ORDERS: rows[ORDERS]}

    @pytest.mark.requirement("S3-22")
    def test_a_transaction_that_the_handler_ended_is_not_committed(self, store: Store) -> None:
        session, rows = owner(store, "first", {ORDERS: 0})

        with pytest.raises(HandlerMisuse), session.transaction() as transaction:
            self.end_the_transaction(store, transaction.session)
            transaction.advance([step(ORDERS, rows, 1)])

        assert session.positions([ORDERS]) == {ORDERS: rows[ORDERS]}

    @staticmethod
    def _repeat(transaction: Transaction) -> None:
        try:
            transaction.commit()
        except (CommitInDoubt, TransientStoreError):
            transaction.abort()
