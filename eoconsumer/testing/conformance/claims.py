"""Claims: epochs, owners, starts, and keys that do not collide."""

# ruff: noqa: D102 - a test's title is its docstring, and a transaction is a block

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from eoconsumer.core.positions import UNKNOWN, Claims, Identity, Position, Start
from eoconsumer.message import TopicPartition
from eoconsumer.protocols import Store, StoreSession
from eoconsumer.testing.conformance.contract import (
    ORDERS,
    RETURNS,
    Contract,
    owner,
    patiently,
    step,
)

HERE = Identity("-topic", "$cluster")  # ids are base64; a store must not take one for its own


class ClaimConformance(Contract):
    """A claim owns rows and tells where they stand."""

    def test_a_partition_that_was_never_claimed_has_no_position(self, store: Store) -> None:
        session = store.open("ledger", "first")

        claims = session.claim([ORDERS], {})

        assert claims == Claims({}, {})
        assert session.positions([ORDERS]) == {}

    def test_an_empty_claim_is_nothing_to_do(self, store: Store) -> None:
        assert store.open("ledger", "first").claim([], {}) == Claims({}, {})

    @pytest.mark.requirement("S3-10")
    def test_a_start_is_stored_at_the_claim(self, store: Store) -> None:
        session = store.open("ledger", "first")

        claims = session.claim([ORDERS], {ORDERS: Start(42, partitions=1)})

        assert claims.positions[ORDERS].next_offset == 42
        assert store.open("ledger", "second").positions([ORDERS])[ORDERS].next_offset == 42

    def test_each_claim_raises_the_epoch_and_keeps_the_position(self, store: Store) -> None:
        first, before = owner(store, "first", {ORDERS: 42})

        after = store.open("ledger", "second").claim([ORDERS], {}).positions[ORDERS]

        assert after == Position(42, before[ORDERS].epoch + 1, "second")
        assert first.positions([ORDERS])[ORDERS] == after

    @pytest.mark.requirement("S3-09")
    def test_many_partitions_are_claimed_at_once_each_at_its_own_position(
        self, store: Store
    ) -> None:
        many = {TopicPartition("orders", number): 7 * number for number in range(300)}
        owner(store, "first", many)

        second = store.open("ledger", "second")
        claims = patiently(lambda: second.claim(list(many), {}))

        assert {key: row.next_offset for key, row in claims.positions.items()} == many

    def test_a_claim_touches_no_other_partition(self, store: Store) -> None:
        other = TopicPartition("orders", 1)
        first, rows = owner(store, "first", {ORDERS: 1, other: 2})

        store.open("ledger", "second").claim([ORDERS], {})

        assert first.positions([other]) == {other: rows[other]}

    def test_of_two_readers_that_claim_at_the_same_time_one_owns_each_partition(
        self, store: Store
    ) -> None:
        keys = [TopicPartition("orders", number) for number in range(20)]
        starts = {key: Start(0, partitions=20) for key in keys}
        readers = [store.open("ledger", name) for name in ("first", "second")]
        ready = Barrier(len(readers))

        def claim(reader: StoreSession) -> Claims:
            ready.wait()
            return patiently(lambda: reader.claim(keys, starts))

        with ThreadPoolExecutor() as threads:
            claimed = list(threads.map(claim, readers))

        rows = readers[0].positions(keys)
        for key in keys:
            owners = [c for c in claimed if c.positions.get(key) == rows[key]]
            assert len(owners) == 1, f"{key}: {rows[key]}"
            assert rows[key].next_offset == 0

    def test_a_start_does_not_move_a_row_that_exists(self, store: Store) -> None:
        owner(store, "first", {ORDERS: 42})

        claims = store.open("ledger", "second").claim([ORDERS], {ORDERS: Start(0, partitions=1)})

        assert claims.positions[ORDERS].next_offset == 42

    def test_a_start_replaces_the_position_of_the_epoch_that_it_names(self, store: Store) -> None:
        session, rows = owner(store, "first", {ORDERS: 42})
        start = Start(50, partitions=1, handed_over=True, replaces=rows[ORDERS].epoch)

        row = session.claim([ORDERS], {ORDERS: start}).positions[ORDERS]

        assert (row.next_offset, row.handed_over) == (50, True)

    def test_a_start_for_an_epoch_that_has_passed_moves_nothing(self, store: Store) -> None:
        session, rows = owner(store, "first", {ORDERS: 42})
        store.open("ledger", "second").claim([ORDERS], {})
        start = Start(50, partitions=1, handed_over=True, replaces=rows[ORDERS].epoch)

        row = session.claim([ORDERS], {ORDERS: start}).positions[ORDERS]

        assert (row.next_offset, row.handed_over) == (42, False)

    @pytest.mark.requirement("N6")
    def test_a_start_is_stored_with_the_identity_and_the_leader_epoch_of_its_log(
        self, store: Store
    ) -> None:
        session = store.open("ledger", "first")
        start = Start(42, partitions=1, identity=HERE, leader_epoch=7)

        claimed = session.claim([ORDERS], {ORDERS: start}).positions[ORDERS]
        again = store.open("ledger", "second").claim([ORDERS], {}).positions[ORDERS]

        for row in (claimed, again):
            assert (row.next_offset, row.identity, row.leader_epoch) == (42, HERE, 7)

    @pytest.mark.requirement("N6")
    def test_a_start_that_replaces_a_position_replaces_its_identity(self, store: Store) -> None:
        session = store.open("ledger", "first")
        start = Start(42, partitions=1, identity=Identity("old", "old"), leader_epoch=7)
        row = session.claim([ORDERS], {ORDERS: start}).positions[ORDERS]

        start = Start(0, partitions=1, replaces=row.epoch, identity=HERE)
        row = session.claim([ORDERS], {ORDERS: start}).positions[ORDERS]
        assert (row.next_offset, row.identity, row.leader_epoch) == (0, HERE, None)

        start = Start(5, partitions=1, replaces=row.epoch)
        row = session.claim([ORDERS], {ORDERS: start}).positions[ORDERS]
        assert (row.next_offset, row.identity) == (5, UNKNOWN)

    @pytest.mark.requirement("N6")
    def test_a_start_that_comes_too_late_leaves_the_identity_alone(self, store: Store) -> None:
        session = store.open("ledger", "first")
        start = Start(42, partitions=1, identity=HERE, leader_epoch=7)
        row = session.claim([ORDERS], {ORDERS: start}).positions[ORDERS]
        other = Identity("another", "another")

        for late in (None, row.epoch - 1):
            start = Start(0, partitions=1, replaces=late, identity=other, leader_epoch=1)
            row = session.claim([ORDERS], {ORDERS: start}).positions[ORDERS]
            assert (row.next_offset, row.identity, row.leader_epoch) == (42, HERE, 7)

    @pytest.mark.requirement("S3-10")
    def test_the_number_of_partitions_at_the_first_start_is_remembered(self, store: Store) -> None:
        owner(store, "first", {ORDERS: 0}, partitions=3)
        added = TopicPartition("orders", 3)
        session = store.open("ledger", "second")

        assert session.claim([added], {}).known == {"orders": 3}
        assert session.claim([added], {added: Start(0, partitions=4)}).known == {"orders": 3}

    def test_a_start_that_names_no_number_of_partitions_leaves_it_unknown(
        self, store: Store
    ) -> None:
        session = store.open("ledger", "first")

        assert session.claim([ORDERS], {ORDERS: Start(0, partitions=0)}).known == {}

    @pytest.mark.requirement("S3-15")
    def test_two_topics_with_equal_partition_numbers_have_their_own_positions(
        self, store: Store
    ) -> None:
        session, rows = owner(store, "first", {ORDERS: 1, RETURNS: 2})

        session.advance([step(ORDERS, rows, 10)])

        positions = session.positions([ORDERS, RETURNS])
        assert positions[ORDERS].next_offset == 10
        assert positions[RETURNS] == rows[RETURNS]

    @pytest.mark.requirement("S3-16")
    @pytest.mark.parametrize("group", ["returns", "ledger.orders", "ledger$0", "ledger:é"])
    def test_two_groups_have_their_own_positions(self, store: Store, group: str) -> None:
        session, rows = owner(store, "first", {ORDERS: 1})
        stranger = store.open(group, "stranger")

        assert stranger.claim([ORDERS], {}) == Claims({}, {})
        stranger.claim([ORDERS], {ORDERS: Start(5, partitions=1)})

        assert session.positions([ORDERS]) == {ORDERS: rows[ORDERS]}

    @pytest.mark.requirement("S3-16", "N13")
    def test_all_positions_are_those_of_the_group_and_of_no_other(self, store: Store) -> None:
        for group in ("ledge", "ledger.orders", "ledger$0", "ledgers"):
            store.open(group, "stranger").claim([ORDERS], {ORDERS: Start(5, partitions=1)})
        assert store.open("ledger", "nobody").all_positions() == {}

        session, rows = owner(store, "first", {ORDERS: 1, RETURNS: 2}, partitions=4)
        session.advance([step(ORDERS, rows, 10)])

        assert store.open("ledger", "second").all_positions() == {
            ORDERS: Position(10, rows[ORDERS].epoch, "first"),
            RETURNS: rows[RETURNS],
        }
