"""Writes that handlers return: sent together, in order, and told apart when one is refused."""

# ruff: noqa: D102 - a test's title is its docstring

from __future__ import annotations

import pytest

from eoconsumer.core.capabilities import Capability
from eoconsumer.errors import HandlerMisuse, WriteFailed
from eoconsumer.protocols import Store
from eoconsumer.testing.conformance.contract import ORDERS, Contract, needs, owner, step


@needs(Capability.WRITES)
class WriteConformance(Contract):
    """Writes as values have the effect of writes through the session."""

    def test_writes_and_position_become_visible_together(self, store: Store) -> None:
        session, rows = owner(store, "first", {ORDERS: 0})
        texts = [f"sold {n}" for n in range(20)]

        with session.transaction() as transaction:
            transaction.write(self.writes(store, texts))
            transaction.advance([step(ORDERS, rows, 20)])
            assert self.read(store) == []

        assert sorted(self.read(store)) == sorted(texts)

    def test_writes_are_rolled_back_with_the_transaction(self, store: Store) -> None:
        session, _ = owner(store, "first", {ORDERS: 0})
        transaction = session.transaction()
        transaction.write(self.writes(store, ["sold"]))
        transaction.abort()

        assert self.read(store) == []

    def test_the_same_writes_may_be_sent_again_after_a_rollback(self, store: Store) -> None:
        session, rows = owner(store, "first", {ORDERS: 0})
        writes = self.writes(store, ["bought", "sold"])
        first = session.transaction()
        first.write(writes)
        first.abort()

        with session.transaction() as second:
            second.write(writes)
            second.advance([step(ORDERS, rows, 2)])

        assert sorted(self.read(store)) == ["bought", "sold"]

    def test_nothing_to_write_is_nothing_to_do(self, store: Store) -> None:
        session, rows = owner(store, "first", {ORDERS: 0})
        session.write([])
        with session.transaction() as transaction:
            transaction.write([])
            transaction.advance([step(ORDERS, rows, 1)])

        assert self.read(store) == []

    def test_outside_of_a_transaction_writes_stand_at_once(self, store: Store) -> None:
        session, _ = owner(store, "first", {ORDERS: 0})

        session.write(self.writes(store, ["bought", "sold"]))

        assert sorted(self.read(store)) == ["bought", "sold"]

    @pytest.mark.requirement("N4")
    @pytest.mark.parametrize("place", [0, 3, 7])
    def test_a_refused_write_is_named(self, store: Store, place: int) -> None:
        bad = self.bad_write(store)
        if bad is None:
            self.lacks("its database takes every write (bad_write)")
        session, _ = owner(store, "first", {ORDERS: 0})
        good = self.writes(store, [str(n) for n in range(7)])
        transaction = session.transaction()

        with pytest.raises(WriteFailed) as failed:
            transaction.write([*good[:place], bad, *good[place:]])
        transaction.abort()

        assert failed.value.index == place
        assert failed.value.__cause__ is not None
        assert self.read(store) == []

    def test_of_two_refused_writes_the_first_is_named(self, store: Store) -> None:
        """It is, where they are sent in order."""
        bad = self.bad_write(store)
        if bad is None:
            self.lacks("its database takes every write (bad_write)")
        session, _ = owner(store, "first", {ORDERS: 0})
        first, last = self.writes(store, ["bought", "sold"])
        transaction = session.transaction()

        with pytest.raises(WriteFailed) as failed:
            transaction.write([first, bad, last, bad])
        transaction.abort()

        assert failed.value.index == 1

    def test_what_is_no_write_is_the_mistake_of_the_handler(self, store: Store) -> None:
        session, _ = owner(store, "first", {ORDERS: 0})
        transaction = session.transaction()

        with pytest.raises(HandlerMisuse, match="object"):
            transaction.write([*self.writes(store, ["sold"]), object()])
        transaction.abort()

        assert self.read(store) == []
