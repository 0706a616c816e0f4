"""Lanes: where a message belongs, what waits, and what a reader makes of lanes before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from bench import GROUP, HERE, P0, Bench, messages

from eoconsumer.core import effects as fx
from eoconsumer.core import lane_effects as lx
from eoconsumer.core.board import Board
from eoconsumer.core.dealer import Dealer, LaneFlow
from eoconsumer.core.identity import Found, Sighting
from eoconsumer.core.lanes import Ahead, Lane, lane_number
from eoconsumer.core.partition import Partition
from eoconsumer.core.positions import Move, Position, Start
from eoconsumer.errors import BrokerError, LogTruncated, OffsetOutOfRange
from eoconsumer.message import Message, Record
from eoconsumer.stores.memory import MemoryStore

pytestmark = pytest.mark.requirement("N2")

KEYS = [b"a", b"b", b"c", b"d", b"e"]


def keyed(offsets: range) -> list[Message]:
    return messages(offsets, keys=KEYS)


# --- to which lane a message belongs --------------------------------------------------------------


def test_the_lane_of_a_key_never_changes_between_versions() -> None:
    assert [lane_number(key, 0, 4) for key in KEYS] == [4, 2, 4, 1, 3]
    assert lane_number(b"", 7, 100) == 1


def test_messages_without_a_key_are_shared_out_by_their_offsets() -> None:
    assert [lane_number(None, offset, 3) for offset in range(6)] == [1, 2, 3, 1, 2, 3]


@pytest.mark.parametrize("lane", [Lane(1, 1), Lane(3, 4), Lane(100, 100)])
def test_the_number_of_a_row_tells_the_lane(lane: Lane) -> None:
    assert Lane.of_row(lane.row) == lane
    assert lane.row > 0
    assert Lane(0, 4).row == Lane(0, 0).row == 0


# --- the board --------------------------------------------------------------------------------


def board(lanes: int = 2, messages: int = 100, size: int = 1_000) -> Board:
    made = Board(lanes, messages, size)
    made.open({P0: Position(0, 1)})
    return made


def taken(made: Board, number: int) -> list[int]:
    return [message.offset for _, message in made.take(number, 100)]


def test_each_lane_gets_the_messages_of_its_keys_in_order() -> None:
    made = board(lanes=4)
    made.deal({P0: keyed(range(10))})
    assert [taken(made, number) for number in (1, 2, 3, 4)] == [
        [3, 8],
        [1, 6],
        [4, 9],
        [0, 2, 5, 7],
    ]


def test_a_partition_is_done_up_to_the_first_message_that_waits_in_any_lane() -> None:
    made = board()
    made.deal({P0: messages([0, 1, 4, 7, 9])})  # without keys: even offsets in lane 1
    made.done(2, P0, 1, 10)
    assert made.standing().levels == {P0: 0}
    made.done(1, P0, 1, 1)
    assert made.standing().levels == {P0: 4}
    made.done(1, P0, 1, 5)
    assert made.standing().levels == {P0: 10}, "a lane without messages holds nobody back"


def test_what_a_lane_had_done_before_waits_for_nobody() -> None:
    made = board()
    made.deal({P0: messages([0, 1])})
    made.done(1, P0, 1, 8)  # by its row
    made.deal({P0: messages([2, 3, 4])})
    made.done(2, P0, 1, 4)
    assert made.standing().levels == {P0: 5}
    assert taken(made, 1) == [0]


def test_news_of_an_assignment_that_is_over_are_no_news() -> None:
    made = board()
    made.deal({P0: messages([0, 1])})
    made.recall([P0], lost=True)
    made.forget([P0])
    made.open({P0: Position(0, 2)})
    made.deal({P0: messages([0, 1])})
    for number in (1, 2):
        made.done(number, P0, 1, 2)
    assert made.standing().levels == {P0: 0}


def test_a_lane_that_was_fenced_takes_the_partition_with_it() -> None:
    made = board()
    made.done(2, P0, 1, None)
    assert made.standing().levels == {P0: None}


@pytest.mark.parametrize("bounds", [{"messages": 4}, {"size": 4}], ids=["messages", "bytes"])
def test_a_lane_is_full_until_half_of_it_is_done(bounds: dict[str, int]) -> None:
    made = board(**bounds)
    made.deal({P0: messages([0, 2, 4])})
    assert made.standing().full == frozenset()
    made.deal({P0: messages([6])})
    assert made.standing().full == {P0}
    made.done(1, P0, 1, 3)
    assert made.standing().full == {P0}
    made.done(1, P0, 1, 5)
    assert made.standing().full == frozenset()


def test_what_is_taken_back_is_not_handled_and_not_counted_as_done() -> None:
    made = board()
    made.deal({P0: messages([0, 1, 2, 3])})
    made.take(1, 1)
    made.recall([P0], lost=False)
    made.done(1, P0, 1, 1)
    assert made.take(1, 9) == made.take(2, 9) == []
    assert made.standing().levels == {P0: 1}


# --- the dealer ---------------------------------------------------------------------------------


class DealerBench(Bench):
    """A dealer with a board of two lanes; a test is the lanes."""

    def __init__(self, **settings: object) -> None:
        super().__init__(flow=Dealer, commit_interval=0, **settings)
        self.board = Board(2, 6, 1_000)
        self.session = self.store.open_lane(GROUP, "a", Lane(0, 2))

    def open(self, effect: lx.Open) -> None:
        self.board.open(effect.rows)

    def deal(self, effect: lx.Deal) -> lx.Dealt:
        self.board.deal(effect.messages)
        return self.board.standing()

    def close(self, effect: lx.Close) -> lx.Dealt:
        self.board.recall(effect.partitions, lost=effect.lost)
        dealt = self.board.standing()
        self.board.forget(effect.partitions)
        return dealt

    def done(self, number: int, upto: int | None) -> None:
        self.board.done(number, P0, self.flow.partitions[P0].epoch, upto)

    def deals(self, some: list[Message]) -> None:
        self.flow.partitions[P0].add(some)
        self.run(self.flow.work(self.clock))


def test_nothing_piles_up_at_the_dealer_while_one_lane_stands_still() -> None:
    bench = DealerBench().own(P0)
    bench.deals(messages([0]))
    for offset in range(1, 2_001, 2):
        bench.deals(messages([offset]))
        bench.done(2, offset + 1)
    assert not bench.flow.partitions[P0].pending
    assert sum(len(desk.waiting[P0]) for desk in bench.board.desks) == 1
    assert bench.flow.partitions[P0].position == 0


def test_the_position_moves_with_the_leader_epoch_of_the_message_before_it() -> None:
    bench = DealerBench().own(P0)
    of_epoch = [Record(*P0, offset, b"", None, (), None, offset // 3) for offset in range(9)]
    bench.deals([Message(record, None) for record in of_epoch])
    bench.done(2, 9)
    for upto in (1, 3, 5, 7):  # lane 1 has the even offsets
        bench.done(1, upto)
        bench.run(bench.flow.work(0.0))
        partition = bench.flow.partitions[P0]
        assert (partition.position, partition.leader_epoch) == (upto + 1, upto // 3)


def test_a_partition_that_is_paused_for_a_full_lane_is_not_taken_for_dead() -> None:
    bench = DealerBench(identity_interval=1.0).own(P0)
    bench.log = Sighting(HERE, 0, 100, 0)
    bench.found = {P0: Found(50, None)}
    bench.deals(messages([0, 2, 4, 6, 8, 10]))
    assert [pause.partition for pause in bench.all(fx.Pause)] == [P0]
    for _ in range(20):
        bench.flow.drained = True
        bench.clock += 1.0
        bench.run(bench.flow.look_after(bench.clock))
    assert bench.reports("doubted") == []


def test_a_fence_of_one_lane_takes_the_partition_from_all_and_it_is_dealt_anew() -> None:
    bench = DealerBench().own(P0)
    bench.deals(messages([0, 1, 2]))
    bench.done(2, 2)
    bench.done(1, None)
    bench.run(bench.flow.work(0.0))
    assert bench.all(lx.Close) == [lx.Close((P0,), lost=True)]
    bench.clock += 10.0
    bench.run(bench.flow.reclaim(bench.clock))
    assert bench.all(fx.Assign)[-1].positions == {P0: 0}
    assert bench.all(lx.Open)[-1].rows[P0].epoch == 2


# --- a lane ---------------------------------------------------------------------------------------


def test_a_lane_that_is_fenced_waits_for_news_and_does_not_poll_in_vain() -> None:
    bench = Bench(flow=LaneFlow)
    assert isinstance(bench.flow, LaneFlow)
    bench.flow.partitions[P0] = partition = Partition(P0)
    bench.flow.expect({P0: Position(0, 1)})
    partition.claimed(Position(0, 1))
    bench.run(bench.flow.fence([P0]))
    assert bench.all(lx.Done) == [lx.Done(P0, 1, None)]
    assert bench.flow._poll(100.0)[1] == bench.flow.settings.poll_interval


# --- a reader without lanes, after one with lanes ------------------------------------------------


def lanes_were_here(*upto: int, leader_epoch: int | None = None) -> MemoryStore:
    """Return a store in which lanes have done messages beyond the position, which is 2."""
    store = MemoryStore()
    session = store.open_lane(GROUP, "former", Lane(0, len(upto)))
    whole = session.claim([P0], {P0: Start(2, 1, identity=HERE)}).positions[P0]
    for number, offset in enumerate(upto, 1):
        lane = store.open_lane(GROUP, f"former:{number}", Lane(number, len(upto)))
        start = Start(2, 0, under=whole.epoch, begun=whole.begun)
        row = lane.claim([P0], {P0: start}).positions[P0]
        lane.advance([Move(P0, row.epoch, row.next_offset, offset, leader_epoch)])
    return store


def left(first: int, upto: Sequence[int]) -> list[int]:
    """Return what lanes have not done of the messages from ``first`` to 20."""
    of_lane = {o: lane_number(KEYS[o % len(KEYS)], o, len(upto)) for o in range(first, 20)}
    return [offset for offset, lane in of_lane.items() if offset >= upto[lane - 1]]


@pytest.mark.parametrize("upto", [(2, 12), (9, 4, 17), (20, 20)])
def test_what_lanes_have_done_passes_the_handler_by(upto: tuple[int, ...]) -> None:
    bench = Bench(lanes_were_here(*upto), batch_size=3).own(P0)
    bench.consume({P0: keyed(range(2, 20))})
    assert bench.effects == left(2, upto)
    assert bench.stored() == 20


def test_it_passes_by_also_where_a_message_before_it_fails_for_good() -> None:
    store = lanes_were_here(2, 12)
    bench = Bench(store, on_poison="skip", poison={4: ValueError(), 13: ValueError()}).own(P0)
    bench.consume({P0: keyed(range(2, 20))})
    assert bench.effects == [o for o in left(2, (2, 12)) if o not in (4, 13)]


def test_a_log_that_was_cut_below_what_a_lane_did_stops_the_reader() -> None:
    bench = Bench(lanes_were_here(2, 12))
    bench.log = Sighting(HERE, 0, 8, 0)
    with pytest.raises(OffsetOutOfRange, match="behind the log"):
        bench.own(P0)


def test_a_log_that_was_cut_below_what_a_lane_did_and_has_grown_again_stops_the_reader() -> None:
    bench = Bench(lanes_were_here(2, 12, leader_epoch=0))
    bench.log = Sighting(HERE, 0, 30, 1)
    bench.found = {P0: Found(11, 1)}
    with pytest.raises(LogTruncated):
        bench.own(P0)


def test_where_data_loss_is_allowed_a_log_that_was_cut_is_handled_again_from_the_position() -> None:
    bench = Bench(lanes_were_here(2, 12), on_data_loss="continue")
    bench.log = Sighting(HERE, 0, 8, 0)
    bench.own(P0).consume({P0: keyed(range(2, 8))})
    assert bench.effects == [2, 3, 4, 5, 6, 7]
    assert bench.stored() == 8


def test_where_data_loss_is_allowed_what_lanes_did_behind_the_gap_stays_done() -> None:
    bench = Bench(lanes_were_here(2, 12), on_data_loss="continue")
    bench.log = Sighting(HERE, 6, 30, 0)
    bench.own(P0).consume({P0: keyed(range(6, 20))})
    assert bench.effects == left(6, (2, 12))


def test_in_the_next_life_of_a_topic_nothing_is_done() -> None:
    bench = Bench(lanes_were_here(2, 12), on_identity_change="restart")
    bench.log = Sighting(replace(HERE, topic_id="second-life"), 0, 30, 0)
    with pytest.raises(BrokerError, match="begins anew"):
        bench.own(P0)
    again = Bench(bench.store, owner="b")
    again.log = bench.log
    again.own(P0).consume({P0: keyed(range(20))})
    assert again.effects == [*range(20)]


def test_what_lanes_did_is_told_as_it_is_stored() -> None:
    store = lanes_were_here(9, 4)
    claimed = store.open(GROUP, "next").claim([P0], {}).positions[P0]
    assert set(claimed.ahead) == {Ahead(Lane(1, 2), 9), Ahead(Lane(2, 2), 4)}
