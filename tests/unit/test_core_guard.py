"""At the claim, before anything is fetched: does the position fit the log?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from bench import GROUP, HERE, P0, P1, Bench, messages

from eoconsumer.core import effects as fx
from eoconsumer.core.identity import Found, Sighting
from eoconsumer.core.modes import Mode
from eoconsumer.core.partition import State
from eoconsumer.core.positions import UNKNOWN, Identity
from eoconsumer.errors import (
    BrokerError,
    LogTruncated,
    OffsetOutOfRange,
    PositionError,
    StoreError,
    TopicGone,
    TopicRecreated,
)
from eoconsumer.message import Message, Record, TopicPartition
from eoconsumer.stores.memory import Key, MemoryStore, Row

NEW = Sighting(Identity("second-life", "cluster"), 0, 150, 0)


def handled(upto: int = 100, **settings: Any) -> MemoryStore:
    """Return a store in which ``upto`` messages of P0 are handled, and nobody owns the row."""
    bench = Bench(**settings).own(P0)
    bench.consume({P0: messages(range(upto))})
    return bench.store


def row(store: MemoryStore, key: TopicPartition = P0) -> Row:
    return store.rows[Key(GROUP, key)]


def start(store: MemoryStore, seen: Sighting | None, *keys: TopicPartition, **more: Any) -> Bench:
    bench = Bench(store, owner="b", **more)
    bench.logs[P0] = seen
    bench.run(bench.flow.assigned(keys or (P0,)))
    return bench


def test_a_row_is_made_with_the_identity_of_its_log() -> None:
    assert row(handled()).identity == HERE


@pytest.mark.requirement("N6")
def test_kafka_is_asked_after_the_claim_and_before_anything_is_fetched() -> None:
    bench = start(handled(), Sighting(HERE, 0, 100, 0))
    order = [e for e in bench.seen if isinstance(e, fx.Claim | fx.Inspect | fx.Assign)]
    assert [type(effect) for effect in order] == [fx.Claim, fx.Inspect, fx.Assign]


def test_what_fits_is_claimed_once_and_written_no_more() -> None:
    bench = start(handled(), Sighting(HERE, 0, 100, 0))
    assert [claim.starts for claim in bench.all(fx.Claim)] == [{}]


@pytest.mark.requirement("N6")
def test_a_topic_created_anew_is_refused_before_anything_is_fetched_and_its_row_let_go() -> None:
    store = handled()
    bench = Bench(store, owner="b")
    bench.logs[P0] = NEW
    with pytest.raises(TopicRecreated, match="first-life, and the id is second-life"):
        bench.run(bench.flow.assigned([P0, P1]))
    assert bench.all(fx.Assign) == []
    assert (row(store).next_offset, row(store).identity) == (100, HERE)
    assert row(store).owner == ""


@pytest.mark.requirement("N6")
def test_restart_begins_at_the_first_message_of_the_new_topic_with_a_new_client() -> None:
    store = handled()
    bench = Bench(store, owner="b", on_identity_change="restart")
    bench.logs[P0] = replace(NEW, low=7)
    with pytest.raises(BrokerError, match="anew with another client"):
        bench.run(bench.flow.assigned([P0]))
    assert (row(store).next_offset, row(store).identity) == (7, NEW.identity)
    assert [r["position"] for r in bench.reports("identity_changed")] == [7]
    assert bench.all(fx.Assign) == []
    again = start(store, NEW, on_identity_change="restart")
    assert [a.positions for a in again.all(fx.Assign)] == [{P0: 7}]


def test_restart_is_not_for_lost_messages_and_continue_not_for_another_topic() -> None:
    with pytest.raises(OffsetOutOfRange):
        start(handled(), Sighting(HERE, 103, 150, 0), on_identity_change="restart")
    with pytest.raises(TopicRecreated):
        start(handled(), NEW, on_data_loss="continue")


@pytest.mark.requirement("N6")
@pytest.mark.parametrize(("low", "high", "missing", "at"), [(107, 150, 7, 107), (0, 90, 10, 90)])
def test_continue_goes_on_with_what_there_is_and_counts_what_is_missing(
    low: int, high: int, missing: int, at: int
) -> None:
    store = handled()
    bench = start(store, Sighting(HERE, low, high, 0), on_data_loss="continue")
    assert [a.positions for a in bench.all(fx.Assign)] == [{P0: at}]
    assert [r["missing"] for r in bench.reports("data_lost")] == [missing]
    assert row(store).next_offset == at


def test_the_row_of_another_is_not_moved_by_a_policy() -> None:
    store = handled()
    bench = Bench(store, owner="b", on_data_loss="continue")

    def claimed_by_another(_: fx.Inspect) -> dict[TopicPartition, Sighting]:
        store.open(GROUP, "c").claim([P0], {})
        return {P0: Sighting(HERE, 107, 150, 0)}

    bench.inspect = claimed_by_another  # type: ignore[method-assign,assignment]  # a race
    bench.run(bench.flow.assigned([P0]))
    assert row(store).next_offset == 100
    assert bench.stored() == 100


# --- what is not known ---------------------------------------------------------------------------


@pytest.mark.parametrize("seen", [None, Sighting(HERE)])
def test_what_kafka_does_not_tell_of_waits_and_the_others_go_on(seen: Sighting | None) -> None:
    store = handled()
    bench = start(store, seen, P0, P1)
    assert [set(a.positions) for a in bench.all(fx.Assign)] == [{P1}]
    assert bench.flow.partitions[P0].state is State.UNCLAIMED
    assert bench.reports("fenced") == []
    del bench.logs[P0]
    bench.run(bench.flow.reclaim(bench.clock + 3))
    assert bench.flow.partitions[P0].live
    assert bench.flow.partitions[P0].position == 100


def test_a_topic_that_does_not_exist_is_asked_for_twice() -> None:
    bench = start(handled(), Sighting(exists=False))
    with pytest.raises(TopicGone, match=r"moves\[0\] does not exist any more"):
        bench.run(bench.flow.reclaim(bench.clock + 3))
    assert bench.all(fx.Assign)[0].positions == {}


def test_with_restart_a_topic_that_does_not_exist_is_waited_for() -> None:
    bench = start(handled(), Sighting(exists=False), on_identity_change="restart")
    for _ in range(5):
        bench.clock += 3
        bench.run(bench.flow.reclaim(bench.clock))
    assert bench.flow.partitions[P0].state is State.UNCLAIMED


def test_a_row_of_an_older_version_gets_its_identity_without_complaint() -> None:
    store = handled()
    row(store).identity = UNKNOWN
    bench = start(store, NEW)
    assert row(store).identity == NEW.identity
    assert [a.positions for a in bench.all(fx.Assign)] == [{P0: 100}]


def test_a_position_that_was_set_on_purpose_takes_the_identity_of_the_log_that_is_there() -> None:
    store = handled()
    fx_start = fx.Start(0, 0, replaces=row(store).epoch)
    store.open(GROUP, "operator").claim([P0], {P0: fx_start})
    bench = start(store, NEW)
    assert [a.positions for a in bench.all(fx.Assign)] == [{P0: 0}]
    assert row(store).identity == NEW.identity


def test_a_release_that_fails_hides_no_error() -> None:
    bench = Bench(handled(), owner="b")
    bench.logs[P0] = NEW
    bench.fail(fx.Release, StoreError())
    with pytest.raises(TopicRecreated):
        bench.run(bench.flow.assigned([P0]))
    assert len(bench.reports("release_failed")) == 1


# --- the log was cut, and has grown again ---------------------------------------------------------


def led(offsets: range, epoch: int, key: TopicPartition = P0) -> list[Message]:
    return [Message(Record(*key, n, b"x", epoch_number=epoch), None) for n in offsets]


@pytest.mark.parametrize("mode", list(Mode))
def test_the_leader_epoch_of_the_last_message_is_stored_with_the_position(mode: Mode) -> None:
    bench = Bench(mode=mode).own(P0)
    bench.consume({P0: [*led(range(3), 4), *led(range(3, 5), 6)]})
    assert (bench.stored(), row(bench.store).leader_epoch) == (5, 6)


def test_the_leader_epoch_is_stored_also_where_positions_are_stored_later() -> None:
    bench = Bench(mode=Mode.AT_LEAST_ONCE, commit_interval=1e9).own(P0)
    bench.flow._advance_at = 1e9
    bench.consume({P0: [*led(range(3), 4), *led(range(3, 5), 6)]})
    assert (bench.stored(), row(bench.store).leader_epoch) == (5, 6)


def cut(found: Found, **settings: Any) -> Bench:
    """Start where the partition has had another leader since the position was stored."""
    first = Bench().own(P0)
    first.consume({P0: led(range(5), 4)})
    bench = Bench(first.store, owner="b", **settings)
    bench.log = Sighting(HERE, 0, 20, 6)
    bench.found[P0] = found
    bench.run(bench.flow.assigned([P0]))
    return bench


@pytest.mark.requirement("N6")
def test_a_message_of_a_later_leader_where_another_was_handled_is_refused() -> None:
    with pytest.raises(LogTruncated):
        cut(Found(4, 6))


@pytest.mark.requirement("N6")
def test_a_log_that_was_cut_is_refused_also_where_the_last_message_is_a_gap_now() -> None:
    # Written anew under epoch 6: a message at 3, and the marker of a transaction at 4.
    with pytest.raises(LogTruncated, match="message at 3 was written in leader epoch 6"):
        cut(Found(3, 6))


def test_the_last_message_is_looked_up_only_where_there_was_another_leader_since() -> None:
    assert [e.offsets for e in cut(Found(4, 4)).all(fx.LookUp)] == [{P0: 4}]
    assert start(handled(), Sighting(HERE, 0, 100, 0)).all(fx.LookUp) == []


@pytest.mark.requirement("N6")
def test_a_message_that_kafka_does_not_show_in_time_is_no_gap_and_is_asked_for_again() -> None:
    first = Bench().own(P0, P1)
    first.consume({key: led(range(5), 4, key) for key in (P0, P1)})
    bench = Bench(first.store, owner="b")
    bench.log = Sighting(HERE, 0, 20, 6)
    bench.found = {P0: Found(4, 6), P1: Found(4, 4)}
    bench.silent = {P0}

    bench.run(bench.flow.assigned([P0, P1]))

    assert [a.positions for a in bench.all(fx.Assign)] == [{P1: 5}]
    assert [list(look_up.offsets) for look_up in bench.all(fx.LookUp)] == [[P0, P1]]
    bench.silent = set()
    bench.clock = bench.flow.partitions[P0].wake_at
    with pytest.raises(LogTruncated):
        bench.run(bench.flow.reclaim(bench.clock))


class Quieter(Bench):
    """Kafka leaves one more partition unanswered at each look-up; the others have gaps only."""

    def lookup(self, look_up: fx.LookUp) -> dict[TopicPartition, Found | None]:
        return dict.fromkeys(sorted(look_up.offsets)[1:])


def test_a_claim_asks_no_more_after_some_look_ups_that_kafka_did_not_answer() -> None:
    keys = [TopicPartition("orders", number) for number in range(8)]
    first = Bench().own(*keys)
    first.consume({key: led(range(100), 4, key) for key in keys})
    bench = Quieter(first.store, owner="b")
    bench.log = Sighting(HERE, 0, 200, 6)

    bench.run(bench.flow.assigned(keys))

    assert [len(look_up.offsets) for look_up in bench.all(fx.LookUp)] == [8, 7, 6]
    assert [a.positions for a in bench.all(fx.Assign)] == [{}]


def test_continue_goes_on_at_the_end_of_a_log_that_was_cut() -> None:
    bench = cut(Found(4, 6), on_data_loss="continue")
    assert [a.positions for a in bench.all(fx.Assign)] == [{P0: 20}]
    assert [r["missing"] for r in bench.reports("data_lost")] == [15]
    assert row(bench.store).leader_epoch is None


# --- positions in Kafka's group -------------------------------------------------------------------

IN_KAFKA: dict[str, Any] = {"positions": "kafka", "mode": Mode.AT_LEAST_ONCE}


@pytest.mark.requirement("N6")
@pytest.mark.parametrize("committed", [True, False])
def test_a_row_that_is_handed_over_remembers_the_log_of_the_group(committed: bool) -> None:
    store = handled()
    bench = start(store, Sighting(HERE, 0, 100, 0), **IN_KAFKA)
    assert row(store).identity == HERE
    # A broker forgets what a group committed in a topic that is deleted.
    group = bench.group if committed else {}

    with pytest.raises(TopicRecreated):
        start(store, NEW, group=group, **IN_KAFKA)
    restarting = Bench(store, owner="b", group=group, on_identity_change="restart", **IN_KAFKA)
    restarting.logs[P0] = NEW
    with pytest.raises(BrokerError):  # a new client is due
        restarting.run(restarting.flow.assigned([P0]))

    assert row(store).identity == NEW.identity
    assert restarting.group == {P0: 0}
    assert start(store, NEW, group=restarting.group, **IN_KAFKA).flow.partitions[P0].position == 0


def test_a_row_that_was_handed_over_without_an_identity_takes_that_of_the_log() -> None:
    store = handled()
    group = start(store, Sighting(HERE, 0, 100, 0), **IN_KAFKA).group
    row(store).identity = UNKNOWN

    assert start(store, NEW, group=group, **IN_KAFKA).flow.partitions[P0].position == 100
    assert row(store).identity == NEW.identity


def test_a_position_of_the_group_outside_the_log_is_refused_and_the_group_left_as_it_is() -> None:
    store = handled()
    group = start(store, Sighting(HERE, 0, 100, 0), **IN_KAFKA).group
    bench = Bench(store, owner="b", group=group, **IN_KAFKA)
    bench.logs[P0] = Sighting(HERE, 103, 150, 0)
    with pytest.raises(PositionError):
        bench.run(bench.flow.assigned([P0]))
    assert bench.all(fx.CommitGroup) == []
    went_on = start(
        store, Sighting(HERE, 103, 150, 0), group=group, on_data_loss="continue", **IN_KAFKA
    )
    assert went_on.group == {P0: 103}


def test_a_running_consumer_knows_what_the_group_does_not() -> None:
    bench = start(handled(), Sighting(HERE, 0, 100, 0), **IN_KAFKA)
    bench.logs[P0] = NEW
    with pytest.raises(TopicRecreated):
        bench.run(bench.flow.take_over([P0]))
