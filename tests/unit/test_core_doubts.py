"""What a running reader looks after: its position may come to fit the log no more."""

from __future__ import annotations

from typing import Any

import pytest
from bench import GROUP, HERE, P0, P1, Bench, messages

from eoconsumer.core import effects as fx
from eoconsumer.core.doubts import PATIENCE, STILL
from eoconsumer.core.identity import Found, Sighting
from eoconsumer.core.modes import Mode
from eoconsumer.core.partition import State
from eoconsumer.core.positions import Identity, Start
from eoconsumer.errors import (
    BrokerError,
    OffsetOutOfRange,
    StoreError,
    TopicGone,
    TopicRecreated,
    TransientStoreError,
)

NEW = Sighting(Identity("second-life", "cluster"), 0, 150, 0)
INTERVAL = 5.0


class Looking(Bench):
    """A reader of P0 and P1 that has handled ten messages of P0."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.log = Sighting(HERE, 0, 10, 0)
        self.logs[P1] = Sighting(HERE, 0, 0, 0)
        self.own(P0, P1)
        self.consume_some(range(10))
        self.run(self.flow.look_after(self.clock))

    def consume_some(self, offsets: range) -> None:
        """Handle messages, and stay the owner."""
        self.flow.partitions[P0].add(messages(offsets))
        self.run(self.flow._process(self.flow._gather(self.clock), self.clock))
        self.seen.clear()

    def look(self, times: int = 1) -> Looking:
        """Let the interval pass, and look."""
        for _ in range(times):
            self.clock += INTERVAL
            self.flow.drained = True
            self.run(self.flow.look_after(self.clock))
            self.run(self.flow.reclaim(self.clock))
        return self

    @property
    def claimed(self) -> list[set[object]]:
        return [set(claim.partitions) for claim in self.all(fx.Claim)]


def test_while_nothing_is_wrong_it_looks_once_an_interval_and_claims_nothing() -> None:
    bench = Looking().look(4)
    for _ in range(10):
        bench.run(bench.flow.look_after(bench.clock + INTERVAL - 0.1))
    assert len(bench.all(fx.Glance)) == 4
    assert bench.claimed == []


def test_who_owns_nothing_asks_nothing() -> None:
    bench = Bench()
    for clock in (0.0, 10.0, 20.0):
        bench.run(bench.flow.look_after(clock))
    assert bench.all(fx.Glance) == []


def test_an_answer_that_is_under_way_is_not_waited_for_and_asked_for_again() -> None:
    bench = Looking()
    answers: list[object] = [None, None, {P0: bench.log, P1: bench.log}]
    bench.glance = lambda _: answers.pop(0)  # type: ignore[method-assign]  # as a slow broker
    bench.clock += INTERVAL
    for _ in range(5):
        bench.run(bench.flow.look_after(bench.clock))
    assert len(bench.all(fx.Glance)) == 3


@pytest.mark.requirement("N6")
def test_a_topic_that_is_created_anew_is_noticed_at_the_next_look() -> None:
    bench = Looking()
    bench.logs[P0] = NEW
    with pytest.raises(TopicRecreated):
        bench.look()


def test_a_topic_that_is_deleted_is_noticed_and_asked_for_again() -> None:
    bench = Looking()
    bench.logs[P0] = Sighting(exists=False)
    bench.look()
    with pytest.raises(TopicGone):
        bench.look()


def test_a_topic_that_is_deleted_is_noticed_also_when_kafka_has_taken_its_partitions() -> None:
    bench = Looking()
    bench.logs[P0] = Sighting(exists=False)
    bench.look()
    bench.run(bench.flow.revoked([P0, P1]))
    with pytest.raises(TopicGone):
        bench.look()


def test_a_topic_that_was_away_for_one_look_is_not_gone() -> None:
    bench = Looking()
    for seen in (Sighting(exists=False), bench.log) * 3:
        bench.logs[P0] = seen
        bench.look()
    assert bench.claimed == []


def test_with_restart_a_topic_that_is_gone_is_looked_for() -> None:
    bench = Looking(on_identity_change="restart")
    bench.logs[P0] = Sighting(exists=False)
    bench.look(5)
    assert all(P0 in glance.partitions for glance in bench.all(fx.Glance))


def test_a_log_that_ends_before_the_position_is_claimed_again_and_judged() -> None:
    bench = Looking()
    bench.logs[P0] = Sighting(HERE, 0, 7, 0)
    with pytest.raises(OffsetOutOfRange) as stopped:
        bench.look()
    assert stopped.value.missing == 3


def test_a_position_that_moved_since_kafka_was_asked_is_not_behind_the_end() -> None:
    bench = Looking()
    asked_at_ten = {P0: bench.log, P1: bench.log}
    answers: list[object] = [None, asked_at_ten]
    bench.glance = lambda _: answers.pop(0)  # type: ignore[method-assign]  # as a slow broker
    bench.look()
    bench.log = Sighting(HERE, 0, 20, 0)
    bench.consume_some(range(10, 20))
    bench.run(bench.flow.look_after(bench.clock))
    assert bench.reports("doubted") == []


def test_an_answer_from_before_the_last_claim_says_nothing_about_it() -> None:
    bench = Looking()
    answers: list[object] = [None, {P0: NEW, P1: NEW}]
    bench.glance = lambda _: answers.pop(0)  # type: ignore[method-assign]  # as a slow broker
    bench.look()
    bench.run(bench.flow.revoked([P0, P1]))
    bench.run(bench.flow.assigned([P0, P1]))
    bench.run(bench.flow.look_after(bench.clock))
    assert answers == []
    assert bench.reports("doubted") == []


def test_messages_fetched_before_they_were_deleted_are_not_missing() -> None:
    bench = Looking()
    bench.logs[P0] = Sighting(HERE, 15, 20, 0)
    assert bench.look().claimed == []


def test_another_leader_is_looked_at_closely_once() -> None:
    bench = Looking()
    bench.logs[P0] = Sighting(HERE, 0, 10, 1)
    bench.look(3)
    assert bench.claimed == [{P0}]
    assert bench.flow.partitions[P0].doubts == 0


def test_at_least_once_stores_what_was_handled_before_it_claims_again() -> None:
    bench = Looking(mode=Mode.AT_LEAST_ONCE, commit_interval=1e9)
    bench.flow._advance_at = 1e9
    bench.log = Sighting(HERE, 0, 20, 0)
    bench.consume_some(range(10, 15))
    bench.logs[P0] = Sighting(HERE, 0, 20, 1)
    bench.look()
    assert bench.stored() == 15
    assert [a.positions for a in bench.all(fx.Assign)] == [{P0: 15}]


# --- what the client says -------------------------------------------------------------------------


def test_what_the_client_does_not_fetch_is_claimed_again_at_once() -> None:
    bench = Looking()
    bench.flow.position_failed(P0, OffsetOutOfRange("said the client"))
    bench.run(bench.flow.look_after(bench.clock))
    bench.run(bench.flow.reclaim(bench.clock))
    assert bench.claimed == [{P0}]
    assert bench.flow.partitions[P0].live
    assert bench.reports("doubted")[0]["reason"] == "said the client"


def test_a_reader_looks_after_its_partitions_each_time_that_it_has_polled() -> None:
    bench = Bench().own(P0)
    bench.flow.position_failed(P0, OffsetOutOfRange("said the client"))
    bench.consume({P0: messages(range(3))}, {P0: messages(range(3))})
    assert len(bench.reports("doubted")) == 1
    assert bench.effects == [0, 1, 2]


def test_what_the_client_says_again_and_again_ends_the_reader_after_growing_waits() -> None:
    bench = Looking()
    waits = []
    for _ in range(PATIENCE):
        bench.flow.position_failed(P0, OffsetOutOfRange("said the client"))
        bench.run(bench.flow.look_after(bench.clock))
        waits.append(bench.flow.partitions[P0].wake_at - bench.clock)
        bench.clock = bench.flow.partitions[P0].wake_at
        bench.run(bench.flow.reclaim(bench.clock))
    bench.flow.position_failed(P0, OffsetOutOfRange("said the client"))
    with pytest.raises(OffsetOutOfRange, match="said the client"):
        bench.run(bench.flow.look_after(bench.clock))
    assert waits[0] == 0
    assert waits[1] >= 0.5


def test_a_message_that_is_handled_ends_the_doubt() -> None:
    bench = Looking()
    for offset in range(10, 20):
        bench.log = Sighting(HERE, 0, offset + 1, 0)
        bench.flow.position_failed(P0, OffsetOutOfRange("said the client"))
        bench.run(bench.flow.look_after(bench.clock))
        bench.run(bench.flow.reclaim(bench.clock))
        bench.consume_some(range(offset, offset + 1))
    assert bench.stored() == 20


@pytest.mark.parametrize("owned", [True, False])
def test_a_topic_that_the_client_misses_ends_the_consumer_or_is_waited_for(owned: bool) -> None:
    for policy in ("stop", "restart"):
        bench = Looking(on_identity_change=policy)
        if not owned:
            bench.run(bench.flow.revoked([P0]))
        bench.flow.position_failed(P0, TopicGone("said the client"))
        if policy == "stop":
            with pytest.raises(TopicGone):
                bench.run(bench.flow.look_after(bench.clock))
        else:
            bench.run(bench.flow.look_after(bench.clock))


# --- dead partitions ----------------------------------------------------------------------------


def dead(**settings: Any) -> Looking:
    """Ten messages wait behind the position, and the client brings none of them."""
    bench = Looking(**settings)
    bench.logs[P0] = Sighting(HERE, 0, 20, 0)
    bench.found[P0] = Found(10, 0)
    return bench


@pytest.mark.requirement("N6")
def test_a_partition_that_stands_still_while_messages_wait_is_claimed_again() -> None:
    bench = dead().look(STILL - 1)
    assert bench.claimed == []
    assert bench.look().claimed == [{P0}]
    assert "messages from 10 on" in str(bench.reports("doubted")[0]["reason"])


def test_a_partition_that_stays_dead_gets_a_new_client() -> None:
    with pytest.raises(BrokerError, match="does not fetch them"):
        dead().look(STILL * (PATIENCE + 2))


def test_offsets_without_messages_are_searched_once() -> None:
    bench = dead()
    bench.found.clear()  # markers of transactions
    assert bench.look(STILL * 4).claimed == []
    assert len(bench.all(fx.LookUp)) == 1


def test_messages_that_kafka_does_not_show_in_time_are_searched_again() -> None:
    bench = dead()
    bench.silent = {P0}
    assert bench.look(STILL * 2).claimed == []
    assert len(bench.all(fx.LookUp)) == 2
    bench.silent = set()
    assert bench.look(STILL).claimed == [{P0}]


@pytest.mark.parametrize("why", ["resting", "pending", "not drained", "moving"])
def test_a_partition_with_a_reason_to_stand_still_is_left_alone(why: str) -> None:
    bench = dead()
    partition = bench.flow.partitions[P0]
    if why == "resting":
        partition.state = State.RESTING
    elif why == "pending":
        partition.add(messages(range(10, 12)))
    for _ in range(STILL * 2):
        bench.clock += INTERVAL
        bench.flow.drained = why != "not drained"
        if why == "moving":
            bench.consume_some(range(partition.position, partition.position + 1))
        bench.run(bench.flow.look_after(bench.clock))
    assert bench.all(fx.LookUp) == []


def test_a_poll_that_brings_less_than_was_asked_for_took_all_there_was() -> None:
    bench = Bench(batch_size=4).own(P0)
    bench.consume({P0: messages(range(4))})
    assert not bench.flow.drained
    bench.own(P0).consume({P0: messages(range(4, 7))})
    assert bench.flow.drained


# --- rows that another has claimed ----------------------------------------------------------------


@pytest.mark.requirement("N13")
@pytest.mark.parametrize("mode", list(Mode))
def test_an_idle_owner_takes_up_a_position_that_was_moved_on_purpose(mode: Mode) -> None:
    bench = Looking(mode=mode)
    rows = bench.session.positions([P0])
    mover = bench.store.open(GROUP, "mover")
    moved = Start(4, 2, replaces=rows[P0].epoch, identity=HERE)
    mover.claim([P0], {P0: moved})

    bench.look(2)

    assert bench.claimed == [{P0}]
    assert bench.flow.partitions[P0].position == 4
    assert len(bench.reports("fenced")) == 1


def test_an_idle_owner_bears_with_a_database_that_does_not_answer() -> None:
    bench = Looking()
    bench.fail(fx.ReadPositions, StoreError(), TransientStoreError())
    bench.look(3)
    assert bench.claimed == []


def test_the_rows_are_not_looked_at_while_messages_wait_nor_where_they_are_not_the_truth() -> None:
    busy = Looking()
    for key in (P0, P1):
        busy.flow.partitions[key].add(messages(range(10, 20), key))
    elsewhere = Looking(mode=Mode.AT_LEAST_ONCE, positions="kafka")
    assert busy.look().all(fx.ReadPositions) == elsewhere.look().all(fx.ReadPositions) == []
