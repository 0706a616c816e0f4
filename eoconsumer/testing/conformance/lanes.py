"""Lanes: each has a row of its own, and whoever claims the partition takes them all."""

# ruff: noqa: D102 - a test's title is its docstring

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from eoconsumer.core.capabilities import Capability
from eoconsumer.core.lanes import Ahead, Lane
from eoconsumer.core.positions import UNKNOWN, Identity, Move, Position, Start
from eoconsumer.errors import Fenced, StoreError
from eoconsumer.protocols import LaneStore, StoreSession
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

FIRST, SECOND = Lane(1, 2), Lane(2, 2)


def under(whole: Position) -> Start:
    """Return what a lane claims with, whose reader has claimed the partition with ``whole``."""
    return Start(whole.next_offset, 0, under=whole.epoch, begun=whole.begun)


class Crew:
    """A reader of ``ORDERS`` with its lanes."""

    def __init__(self, store: LaneStore, name: str, claimed: int = 2, at: int = 0) -> None:
        """Claim the partition, and so many of its two lanes."""
        self.store, self.name = store, name
        self.session = store.open_lane("ledger", name, Lane(0, 2))
        self.whole = self.session.claim([ORDERS], {ORDERS: Start(at, 1)}).positions[ORDERS]
        self.sessions: dict[int, StoreSession] = {}
        self.rows: dict[int, Position] = {}
        for number in range(1, claimed + 1):
            self.claim(number)

    def claim(self, number: int) -> Position | None:
        """Claim a lane, and return its row where it is ours."""
        lane = Lane(number, 2)
        session = self.store.open_lane("ledger", f"{self.name}:{number}", lane)
        self.sessions[number] = session
        claimed = session.claim([ORDERS], {ORDERS: under(self.whole)}).positions
        if ORDERS in claimed:
            self.rows[number] = claimed[ORDERS]
        return claimed.get(ORDERS)

    def advance(self, number: int, upto: int) -> None:
        """Move a lane."""
        row = self.rows[number]
        with self.sessions[number].transaction() as transaction:
            transaction.advance([Move(ORDERS, row.epoch, row.next_offset, upto)])
        self.rows[number] = replace(row, next_offset=upto)

    def close(self) -> None:
        """End its sessions."""
        for session in (self.session, *self.sessions.values()):
            session.close()


@needs(Capability.LANES)
class LaneConformance(Contract):
    """The rows of lanes, where a store has them."""

    @pytest.fixture
    def laned(self, store: object) -> LaneStore:
        assert isinstance(store, LaneStore)
        return store

    @pytest.mark.requirement("N2")
    def test_each_lane_moves_a_row_of_its_own(self, laned: LaneStore) -> None:
        crew = Crew(laned, "first", at=5)

        crew.advance(1, 9)

        assert crew.sessions[1].positions([ORDERS])[ORDERS].next_offset == 9
        assert crew.sessions[2].positions([ORDERS])[ORDERS].next_offset == 5
        assert crew.session.positions([ORDERS])[ORDERS].next_offset == 5
        assert {k: p.next_offset for k, p in crew.session.all_positions().items()} == {ORDERS: 5}

    @pytest.mark.requirement("N2")
    @pytest.mark.parametrize("lanes", [0, 2, 3])
    def test_whoever_claims_a_partition_fences_its_lanes_and_learns_how_far_they_are(
        self, laned: LaneStore, lanes: int
    ) -> None:
        crew = Crew(laned, "first")
        crew.advance(1, 7)

        session = laned.open_lane("ledger", "second", Lane(0, lanes)) if lanes else None
        session = session or laned.open("ledger", "second")
        claimed = session.claim([ORDERS], {}).positions[ORDERS]

        assert (claimed.next_offset, claimed.ahead) == (0, (Ahead(FIRST, 7, None),))
        for number in (1, 2):
            with pytest.raises(Fenced):
                crew.advance(number, 20)

    @pytest.mark.requirement("N2")
    def test_what_lanes_did_is_told_again_until_the_partition_has_passed_it(
        self, laned: LaneStore
    ) -> None:
        crew = Crew(laned, "first")
        crew.advance(1, 7)
        crew.advance(2, 4)

        session = laned.open("ledger", "second")
        told = session.claim([ORDERS], {}).positions[ORDERS]
        assert set(told.ahead) == {Ahead(FIRST, 7, None), Ahead(SECOND, 4, None)}
        session.advance([step(ORDERS, {ORDERS: told}, 5)])
        told = laned.open("ledger", "third").claim([ORDERS], {}).positions[ORDERS]
        assert told.ahead == (Ahead(FIRST, 7, None),)
        session = laned.open("ledger", "fourth")
        told = session.claim([ORDERS], {}).positions[ORDERS]
        session.advance([step(ORDERS, {ORDERS: told}, 7)])
        for name in ("fifth", "sixth"):
            assert laned.open("ledger", name).claim([ORDERS], {}).positions[ORDERS].ahead == ()

    @pytest.mark.requirement("N2")
    @pytest.mark.parametrize(("floor", "first"), [(3, 7), (9, 9)])
    def test_a_lane_goes_on_at_its_own_position_or_at_that_of_the_partition_if_it_is_further(
        self, laned: LaneStore, floor: int, first: int
    ) -> None:
        crew = Crew(laned, "first")
        crew.advance(1, 7)
        crew.session.advance([Move(ORDERS, crew.whole.epoch, 0, floor)])

        again = Crew(laned, "second")

        assert (again.rows[1].next_offset, again.rows[2].next_offset) == (first, floor)
        again.advance(1, 20)

    @pytest.mark.requirement("N2")
    def test_a_lane_is_not_claimed_for_a_reader_that_another_has_overtaken(
        self, laned: LaneStore
    ) -> None:
        late = Crew(laned, "first", claimed=0)
        crew = Crew(laned, "second")

        assert late.claim(1) is None
        crew.advance(1, 7)
        crew.advance(2, 7)

    @pytest.mark.requirement("N2")
    def test_a_lane_that_nobody_had_is_not_made_for_a_reader_that_another_has_overtaken(
        self, laned: LaneStore
    ) -> None:
        late = Crew(laned, "first", claimed=0)
        laned.open("ledger", "second").claim([ORDERS], {})

        assert late.claim(1) is None

    @pytest.mark.requirement("N2")
    @pytest.mark.parametrize("goes_on", [True, False])
    def test_what_lanes_did_counts_no_more_where_the_position_is_set_anew(
        self, laned: LaneStore, goes_on: bool
    ) -> None:
        crew = Crew(laned, "first")
        crew.advance(1, 7)
        start = Start(2, 1, replaces=crew.whole.epoch, goes_on=goes_on)

        session = laned.open("ledger", "second")
        claimed = session.claim([ORDERS], {ORDERS: start}).positions[ORDERS]

        assert claimed.next_offset == 2
        assert claimed.ahead == ((Ahead(FIRST, 7, None),) if goes_on else ())
        assert Crew(laned, "third").rows[1].next_offset == (7 if goes_on else 2)

    def test_a_lane_of_another_partition_is_left_alone(self, laned: LaneStore) -> None:
        crew = Crew(laned, "first")

        owner(laned, "second", {RETURNS: 0})

        crew.advance(1, 7)

    def test_the_row_of_a_lane_knows_its_log(self, laned: LaneStore) -> None:
        crew = Crew(laned, "first")
        here = Identity("-topic", "$cluster")
        start = replace(under(crew.whole), next_offset=8, identity=here, leader_epoch=4)

        row = crew.sessions[1].claim([ORDERS], {ORDERS: start}).positions[ORDERS]

        assert (row.next_offset, row.identity, row.leader_epoch) == (8, here, 4)
        assert crew.rows[2].identity == UNKNOWN

    @pytest.mark.requirement("N2", "N17")
    @needs(Capability.ENDS_FORMER_OWNER)
    def test_a_claim_ends_the_sessions_of_former_lanes_that_hold_their_rows(
        self, laned: LaneStore
    ) -> None:
        crew = Crew(laned, "first")
        session, row = crew.sessions[2], crew.rows[2]
        transaction = session.transaction()
        transaction.__enter__()
        self.write(laned, transaction.session, "late")
        transaction.advance([Move(ORDERS, row.epoch, 0, 7)])

        began = time.monotonic()
        second = laned.open("ledger", "second")
        claimed = patiently(lambda: second.claim([ORDERS], {})).positions[ORDERS]

        assert time.monotonic() - began < TAKE_OVER_SECONDS
        assert claimed.ahead == ()
        with pytest.raises(StoreError):
            transaction.commit()
        transaction.abort()
        assert list(self.read(laned)) == []
