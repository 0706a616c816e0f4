"""Two owners at once: what one commits the other knows, and nothing is done twice."""

# ruff: noqa: D102 - a test's title is its docstring

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from threading import Condition

import pytest

from eoconsumer.core.capabilities import Capability
from eoconsumer.core.positions import Move
from eoconsumer.errors import Fenced, StoreError, TransientStoreError
from eoconsumer.protocols import Store, StoreSession
from eoconsumer.testing.conformance.contract import (
    ORDERS,
    RETURNS,
    TAKE_OVER_SECONDS,
    Contract,
    needs,
    owner,
    patiently,
    step,
)

#: How long a claim may take that cannot end it, before it asks for another try.
BLOCKED_SECONDS = 15.0
#: How many messages two owners take from each other.
MESSAGES = 20


class OwnerConformance(Contract):
    """Owners replace one another at any moment."""

    @pytest.mark.requirement("N1", "S3-06")
    def test_owners_that_take_over_from_each_other_apply_each_message_once(
        self, store: Store
    ) -> None:
        owner(store, "nobody", {ORDERS: 0})
        relay = Relay()

        def consume(name: str) -> int:
            commits = 0
            with closing(store.open("ledger", name)) as session:
                while steps := steps_from_here(session):
                    relay.claimed()
                    for number, move in enumerate(steps):
                        try:
                            with session.transaction() as transaction:
                                self.write(store, transaction.session, str(move.expected))
                                if number:  # else nobody would ever commit
                                    relay.let_the_other_claim()
                                transaction.advance([move])
                        except (Fenced, TransientStoreError):
                            break
                        commits += 1
                    relay.wait_for_a_transaction()
            return commits

        with ThreadPoolExecutor(2) as threads:
            commits = list(threads.map(consume, ("first", "second")))

        assert sorted(map(int, self.read(store))) == list(range(MESSAGES))
        assert sum(commits) == MESSAGES
        row = store.open("ledger", "looker").positions([ORDERS])[ORDERS]
        assert row.next_offset == MESSAGES

    @needs(Capability.ENDS_FORMER_OWNER)
    def test_an_open_transaction_of_a_former_owner_holds_nobody_up(self, store: Store) -> None:
        session, rows = owner(store, "first", {ORDERS: 0, RETURNS: 0})
        transaction = session.transaction()
        self.write(store, transaction.session, "sold")
        transaction.advance([step(ORDERS, rows, 1)])

        began = time.monotonic()
        second = store.open("ledger", "second")
        claims = patiently(lambda: second.claim([ORDERS, RETURNS], {}))
        seconds = time.monotonic() - began

        assert seconds < TAKE_OVER_SECONDS
        assert [claims.positions[key].next_offset for key in (ORDERS, RETURNS)] == [0, 0]
        with pytest.raises(StoreError):
            transaction.commit()
        transaction.abort()
        assert self.read(store) == []

    def test_a_claim_that_has_to_wait_for_a_former_owner_asks_for_another_try(
        self, store: Store
    ) -> None:
        # A transaction belongs to the thread that opened it.
        with ThreadPoolExecutor(1) as elsewhere:

            def hold() -> tuple[StoreSession, object]:
                session, rows = owner(store, "first", {ORDERS: 0})
                transaction = session.transaction()
                self.write(store, transaction.session, "sold")
                transaction.advance([step(ORDERS, rows, 1)])
                return session, transaction

            session, _ = elsewhere.submit(hold).result()
            second = store.open("ledger", "second")
            began = time.monotonic()
            with suppress(TransientStoreError):  # or it need not wait
                second.claim([ORDERS], {})
            assert time.monotonic() - began < BLOCKED_SECONDS

            elsewhere.submit(session.close).result()
            assert patiently(lambda: second.claim([ORDERS], {})).positions[ORDERS].next_offset == 0
        assert self.read(store) == []


class Relay:
    """Lets two owners replace each other in the middle of a transaction.

    Neither waits for long: a database may keep a claim waiting until the transaction is over.
    """

    def __init__(self) -> None:
        """Begin with nobody."""
        self._claims = 0
        self._transactions = 0
        self._changed = Condition()

    def claimed(self) -> None:
        """Note a claim."""
        with self._changed:
            self._claims += 1
            self._changed.notify_all()

    def let_the_other_claim(self) -> None:
        """Say that a transaction is in its middle, and wait for a claim."""
        with self._changed:
            before = self._claims
            self._transactions += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._claims != before, 0.05)

    def wait_for_a_transaction(self) -> None:
        """Wait until the other is in the middle of one."""
        with self._changed:
            before = self._transactions
            self._changed.wait_for(lambda: self._transactions != before, 0.1)


def steps_from_here(session: StoreSession) -> list[Move]:
    """Claim, and return the steps from the position that the claim told to the end."""
    row = patiently(lambda: session.claim([ORDERS], {})).positions[ORDERS]
    offsets = range(row.next_offset, MESSAGES)
    return [Move(ORDERS, row.epoch, offset, offset + 1) for offset in offsets]
