"""One partition: its table of states, and what any order of events leaves true."""

from __future__ import annotations

from itertools import product

import pytest
from bench import P0, messages
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from eoconsumer.core.letters import DeadLetter
from eoconsumer.core.partition import TABLE, Event, Partition, State, fit
from eoconsumer.core.positions import Position
from eoconsumer.message import Messages


@pytest.mark.parametrize(("state", "event"), list(TABLE))
def test_a_legal_event_goes_where_the_table_says(state: State, event: Event) -> None:
    partition = Partition(P0, state)
    partition.on(event)
    assert partition.state is TABLE[state, event]


@pytest.mark.parametrize(
    ("state", "event"), [pair for pair in product(State, Event) if pair not in TABLE]
)
def test_an_event_that_the_table_does_not_know_raises(state: State, event: Event) -> None:
    with pytest.raises(KeyError):
        Partition(P0, state).on(event)


def test_nothing_leads_back_from_gone_and_every_other_state_can_be_taken_away() -> None:
    assert State.GONE not in {state for state, _ in TABLE}
    for state in set(State) - {State.GONE}:
        assert TABLE[state, Event.REVOKED] is TABLE[state, Event.LOST] is State.GONE


def test_only_a_claim_makes_a_partition_owned_from_nothing() -> None:
    assert [e for (s, e), to in TABLE.items() if s is State.UNCLAIMED and to is State.OWNED] == [
        Event.CLAIMED
    ]


def test_messages_of_a_partition_that_is_not_ours_are_dropped_unseen() -> None:
    partition = Partition(P0)
    assert not partition.add(messages(range(4)))
    assert not partition.pending


@pytest.mark.requirement("S3-14")
def test_after_41_comes_42() -> None:
    partition = Partition(P0)
    partition.claimed(Position(42, 1))
    partition.add(messages(range(40, 44)))
    run = partition.take(10, 1_000)
    assert run is not None
    assert [m.offset for m in run.messages] == [42, 43]


@pytest.mark.requirement("S3-14")
def test_what_one_poll_brings_twice_is_kept_once() -> None:
    partition = Partition(P0)
    partition.claimed(Position(10, 1))
    assert partition.add(messages([10, 11, 12, 10, 11, 12, 13]))
    run = partition.take(10, 1_000)
    assert run is not None
    assert [m.offset for m in run.messages] == [10, 11, 12, 13]
    assert partition.fetched == 14


def test_the_position_behind_a_run_is_its_last_offset_and_one_whatever_is_missing() -> None:
    partition = Partition(P0)
    partition.claimed(Position(0, 1))
    partition.add(messages([0, 7, 23]))
    run = partition.take(10, 1_000)
    assert run is not None
    assert run.upto == 24


@pytest.mark.parametrize(
    ("sizes", "limit", "size", "count"),
    [
        ([10, 10, 10], 2, 1_000, 2),
        ([10, 10, 10], 9, 20, 2),
        ([10, 10, 10], 9, 25, 2),
        ([99, 10], 9, 20, 1),
        ([10, 99], 9, 20, 1),
    ],
)
def test_a_run_fits_its_bounds_but_has_one_message_at_least(
    sizes: list[int], limit: int, size: int, count: int
) -> None:
    pending = Messages.of([messages([n], size=bytes_)[0] for n, bytes_ in enumerate(sizes)])
    taken, total = fit(pending, limit, size)
    assert len(taken) == count
    assert total == sum(sizes[:count])


class Anything(RuleBasedStateMachine):
    """A partition under events in any order; offsets have gaps, and fetches repeat themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.partition = Partition(P0)
        self.log = messages([n + n // 3 for n in range(300)])
        self.settled: list[int] = []
        self.claims = 0
        self.floor = 0

    @initialize(position=st.integers(0, 20))
    def claim_first(self, position: int) -> None:
        self._claim(position)

    def _claim(self, position: int) -> None:
        self.claims += 1
        self.floor = position
        self.settled.clear()
        self.partition.claimed(Position(position, self.claims))

    @rule(first=st.integers(-3, 3), count=st.integers(1, 9))
    def fetch(self, first: int, count: int) -> None:
        """Fetch from where the last fetch ended; after a resume from a little before."""
        start = sum(m.offset < self.partition.fetched for m in self.log) + min(first, 0)
        self.partition.add(self.log[max(0, start) : max(0, start) + count])

    @precondition(lambda self: self.partition.state is State.OWNED)
    @rule(limit=st.integers(1, 9), part=st.integers(1, 9))
    def take_and_settle(self, limit: int, part: int) -> None:
        run = self.partition.take(limit, 1_000)
        assert (run is None) == (not self.partition.pending)
        if run is None:
            return
        offsets = [m.offset for m in run.messages]
        assert offsets == [m.offset for m in self.partition.pending[: len(offsets)]]
        assert not set(offsets) & set(self.settled), "handed out after it was settled"
        done = run.messages[: min(part, len(run.messages))]
        self.partition.settle(done[-1].offset + 1)
        self.settled += [m.offset for m in done]

    @precondition(lambda self: self.partition.state is State.OWNED and self.partition.pending)
    @rule(limit=st.integers(1, 9), known=st.booleans(), data=st.data())
    def take_and_blame(self, limit: int, known: bool, data: st.DataObject) -> None:
        run = self.partition.take(limit, 1_000)
        assert run is not None
        if not run.live:
            return
        culprit = data.draw(st.sampled_from(run.live)).offset if known else None
        found = self.partition.blame(culprit, run)
        assert found == (known or len(run.live) == 1)
        if not found:
            half = self.partition.take(limit, 1_000)
            assert half is not None
            assert len(half.messages) < len(run.messages)
            assert self.partition.alone
            return
        assert self.partition.tries >= 1
        offset = self.partition.suspect
        if data.draw(st.booleans()):
            message = next(m for m in self.partition.pending if m.offset == offset)
            self.partition.decide(offset, DeadLetter(message, ValueError(), 1))
        else:
            self.partition.on(Event.FAILED)

    @precondition(lambda self: self.partition.state is State.RESTING)
    @rule()
    def rest_is_over(self) -> None:
        assert self.partition.take(9, 1_000) is None
        self.partition.on(Event.RESTED)

    @precondition(lambda self: self.partition.live)
    @rule(back=st.integers(0, 3))
    def fenced_and_claimed_again(self, back: int) -> None:
        position = max(self.floor, self.partition.position - back)
        self.partition.on(Event.FENCED)
        assert not self.partition.pending
        assert self.partition.take(9, 1_000) is None
        assert not self.partition.add(self.log[:3])
        self._claim(position)

    @invariant()
    def what_waits_is_in_order_and_at_or_past_the_position(self) -> None:
        offsets = [m.offset for m in self.partition.pending]
        assert offsets == sorted(set(offsets))
        assert all(self.partition.position <= o < self.partition.fetched for o in offsets)
        assert all(offset >= self.partition.position for offset in self.partition.fates)

    @invariant()
    def nothing_between_position_and_what_waits_is_missing(self) -> None:
        partition = self.partition
        between = [m for m in self.log if partition.position <= m.offset < partition.fetched]
        assert [m.offset for m in partition.pending] == [m.offset for m in between]


TestAnyOrderOfEvents = Anything.TestCase
