"""Dead letters, and what happens around the batches: release, close, setup."""

# ruff: noqa: D102, PT012 - a test's title is its docstring, and a transaction is a block

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from eoconsumer.core.capabilities import Capability
from eoconsumer.core.letters import DeadLetter
from eoconsumer.core.positions import Position
from eoconsumer.message import Message, Record
from eoconsumer.protocols import Store
from eoconsumer.testing.conformance.contract import ORDERS, Contract, needs, owner, step


class UpkeepConformance(Contract):
    """Nothing is lost beside the messages, and nothing lingers."""

    def test_it_has_all_that_a_store_has(self, store: Store) -> None:
        assert isinstance(store, Store)
        assert store.transaction_seconds is None or store.transaction_seconds > 0

    @needs(Capability.LETTERS)
    def test_dead_letters_are_visible_with_the_position(self, store: Store) -> None:
        session, rows = owner(store, "first", {ORDERS: 41})

        with session.transaction() as transaction:
            transaction.bury([letter(41)])
            transaction.advance([step(ORDERS, rows, 42)])
            assert self.letters(store) == []

        assert self.letters(store) == [41]

    @needs(Capability.LETTERS)
    def test_dead_letters_are_rolled_back_with_their_transaction(self, store: Store) -> None:
        session, _ = owner(store, "first", {ORDERS: 41})

        with pytest.raises(ZeroDivisionError), session.transaction() as transaction:
            transaction.bury([letter(41)])
            raise ZeroDivisionError

        assert self.letters(store) == []

    @needs(Capability.LETTERS)
    def test_dead_letters_need_no_transaction(self, store: Store) -> None:
        store.open("ledger", "first").bury([letter(41), letter(43)])

        assert sorted(self.letters(store)) == [41, 43]

    def test_a_released_partition_has_no_owner_and_keeps_its_position(self, store: Store) -> None:
        session, rows = owner(store, "first", {ORDERS: 42})

        session.release([step(ORDERS, rows, 42)])

        assert session.positions([ORDERS])[ORDERS] == Position(42, rows[ORDERS].epoch, "")
        claims = store.open("ledger", "second").claim([ORDERS], {})
        assert claims.positions[ORDERS].next_offset == 42

    def test_a_release_leaves_a_row_alone_that_another_owns(self, store: Store) -> None:
        session, rows = owner(store, "first", {ORDERS: 42})
        claims = store.open("ledger", "second").claim([ORDERS], {})

        session.release([step(ORDERS, rows, 42)])

        assert session.positions([ORDERS]) == claims.positions

    def test_the_errors_of_a_handler_are_left_as_they_are(self, store: Store) -> None:
        error = ValueError("not a number")

        assert store.open("ledger", "first").translate(error) is error

    def test_an_error_that_names_no_write_has_no_culprit(self, store: Store) -> None:
        session = store.open("ledger", "first")

        assert session.culprit(ValueError("no"), 3) is None

    def test_a_closed_session_gives_its_transaction_up(self, store: Store) -> None:
        session, _ = owner(store, "first", {ORDERS: 0})
        self.write(store, session.transaction().session, "never")

        session.close()

        assert self.read(store) == []

    def test_setup_may_be_called_again_and_by_many_at_once(self, store: Store) -> None:
        _, rows = owner(store, "first", {ORDERS: 42})

        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda _: store.setup(), range(4)))

        assert store.open("ledger", "looker").positions([ORDERS]) == rows


def letter(offset: int) -> DeadLetter:
    """Return a dead letter for the message at ``offset`` of the orders."""
    return DeadLetter(Message(Record("orders", 0, offset, b"?"), b"?"), ValueError("bad"), 3)
