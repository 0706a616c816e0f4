"""Where a partition starts, who owns it, and what Kafka's group is shown of it."""

from __future__ import annotations

from contextlib import suppress

import pytest
from bench import GROUP, P0, P1, P2, Bench, messages

from eoconsumer.core import effects as fx
from eoconsumer.core.modes import Mode
from eoconsumer.core.partition import State
from eoconsumer.core.positions import Move
from eoconsumer.errors import PositionError, StoreError, TransientStoreError
from eoconsumer.message import TopicPartition
from eoconsumer.stores.memory import Key, MemoryStore, Row


def assigned(bench: Bench) -> dict[TopicPartition, int]:
    return {k: offset for a in bench.all(fx.Assign) for k, offset in a.positions.items()}


def start(*keys: TopicPartition, store: MemoryStore | None = None, **settings: object) -> Bench:
    bench = Bench(store, **settings)
    bench.run(bench.flow.assigned(keys))
    return bench


def test_an_assignment_of_nothing_asks_nothing_of_the_store() -> None:
    assert start().all(fx.Claim) == []


# --- where it starts --------------------------------------------------------------------------


@pytest.mark.requirement("S3-10")
@pytest.mark.parametrize(
    ("policy", "offset"), [("earliest", 0), ("latest", 100), (1_700_000_000_000, 50)]
)
def test_a_partition_never_claimed_starts_by_the_policy_which_is_stored_at_the_claim(
    policy: str | int, offset: int
) -> None:
    bench = start(P0, start=policy)
    assert assigned(bench) == {P0: offset}
    assert bench.stored() == offset


@pytest.mark.requirement("S3-10")
def test_the_policy_error_refuses_a_partition_never_claimed() -> None:
    with pytest.raises(PositionError, match=r'moves\[0\] has no stored position and start="error"'):
        start(P0, start="error")


@pytest.mark.requirement("S3-10")
def test_the_policy_group_starts_where_kafka_stands_and_else_at_the_beginning() -> None:
    assert assigned(start(P0, P1, start="group", group={P0: 7})) == {P0: 7, P1: 0}


@pytest.mark.requirement("S3-09", "S3-14")
@pytest.mark.parametrize("policy", ["earliest", "latest", "error", "group"])
def test_a_stored_position_wins_over_every_policy(policy: str) -> None:
    first = start(P0)
    first.consume({P0: messages(range(42))})
    again = start(P0, store=first.store, owner="b", start=policy, group={P0: 7})
    assert assigned(again) == {P0: 42}


@pytest.mark.requirement("S3-09")
def test_an_assignment_loads_the_positions_of_its_whole_set_in_one_claim() -> None:
    first = start(P0, P1, P2)
    again = start(P0, P1, P2, store=first.store, owner="b")
    assert [claim.partitions for claim in again.all(fx.Claim)] == [(P0, P1, P2)]
    assert len(again.all(fx.Assign)) == 1


@pytest.mark.requirement("S3-10")
@pytest.mark.parametrize("policy", ["latest", "error", "group"])
def test_a_partition_added_later_starts_at_its_beginning(policy: str) -> None:
    first = start(P0, P1)  # the topic has two partitions then
    again = start(P0, P1, P2, store=first.store, owner="b", start=policy)
    assert assigned(again)[P2] == 0


@pytest.mark.requirement("S3-15")
def test_equal_partition_numbers_of_two_topics_do_not_collide() -> None:
    other = TopicPartition("orders", 0)
    bench = start(P0, other)
    bench.consume({P0: messages(range(5)), other: messages(range(10, 13), other)})
    assert (bench.stored(P0), bench.stored(other)) == (5, 13)


# --- a hand-over between the store and Kafka's group --------------------------------------------


def test_positions_handed_to_kafka_take_the_rows_along_and_the_way_back_takes_the_group() -> None:
    store = MemoryStore()
    start(P0, store=store).consume({P0: messages(range(5))})
    in_kafka = start(
        P0, store=store, owner="b", positions="kafka", mode=Mode.AT_LEAST_ONCE, commit_batch=1
    )
    assert assigned(in_kafka) == {P0: 5}
    assert in_kafka.group == {P0: 5}
    assert store.rows[Key(GROUP, P0)].handed_over
    in_kafka.consume({P0: messages(range(5, 9))})
    back = start(P0, store=store, owner="c", group=in_kafka.group)
    assert assigned(back) == {P0: 9}
    assert not store.rows[Key(GROUP, P0)].handed_over
    assert back.stored() == 9


def test_a_hand_over_to_kafka_commits_the_group_before_it_marks_the_row() -> None:
    store = MemoryStore()
    start(P0, store=store).consume({P0: messages(range(5))})
    bench = start(P0, store=store, owner="b", positions="kafka", mode=Mode.AT_LEAST_ONCE)
    marks = [e for e in bench.seen if isinstance(e, fx.CommitGroup) or _marks(e)]
    assert [type(effect) for effect in marks] == [fx.CommitGroup, fx.Claim]


def _marks(effect: fx.Effect) -> bool:
    return isinstance(effect, fx.Claim) and any(s.handed_over for s in effect.starts.values())


def test_a_row_handed_over_is_the_truth_where_the_group_has_no_commit() -> None:
    store = MemoryStore()
    start(P0, store=store).consume({P0: messages(range(5))})
    start(P0, store=store, owner="b", positions="kafka", mode=Mode.AT_LEAST_ONCE)
    back = start(P0, store=store, owner="c")
    assert assigned(back) == {P0: 5}


# --- claims -----------------------------------------------------------------------------------


def test_each_claim_raises_the_epoch() -> None:
    first = start(P0)
    again = start(P0, store=first.store, owner="b")
    assert again.flow.partitions[P0].epoch == first.flow.partitions[P0].epoch + 1


def test_a_claim_is_tried_again_while_the_database_asks_for_it() -> None:
    bench = Bench()
    bench.fail(fx.Claim, TransientStoreError(), TransientStoreError())
    bench.run(bench.flow.assigned([P0]))
    assert bench.flow.partitions[P0].state is State.OWNED
    assert len(bench.reports("store_retry")) == 2


def test_a_claim_that_keeps_failing_ends_with_a_store_error_that_says_what_was_not_done() -> None:
    bench = Bench(commit_timeout=5.0)
    bench.fail(fx.Claim, *[TransientStoreError("no primary") for _ in range(1_000)])
    with pytest.raises(StoreError, match=r"1 partitions, and they were not started.* no primary"):
        bench.run(bench.flow.assigned([P0]))
    assert bench.clock < 8


def test_what_a_fenced_owner_handled_is_not_written() -> None:
    bench = Bench().own(P0)
    bench.store.open(GROUP, "other").claim([P0], {})
    bench.consume({P0: messages(range(4))})
    assert len(bench.reports("fenced")) == 1
    assert bench.effects == []


def test_a_fence_waits_half_a_second_and_longer_each_time_before_it_claims_again() -> None:
    bench = Bench().own(P0)
    partition = bench.flow.partitions[P0]
    waits = []
    for _ in range(4):
        bench.run(bench.flow.fence([P0]))
        waits.append(partition.wake_at - bench.clock)
        bench.run(bench.flow.reclaim(partition.wake_at - 0.01))
        assert partition.state is State.UNCLAIMED
        bench.run(bench.flow.reclaim(partition.wake_at))
        assert partition.state is State.OWNED
    assert waits[0] > 0.5
    assert waits == sorted(waits)
    assert waits[-1] <= 2.5


@pytest.mark.requirement("S3-16")
def test_the_positions_of_two_groups_in_one_database_do_not_collide() -> None:
    store = MemoryStore()
    start(P0, store=store).consume({P0: messages(range(5))})
    claims = store.open("another group", "b").claim([P0], {})
    assert claims.positions == {}
    assert claims.known == {}


class WithoutEpoch(MemoryStore):
    """A fence that compares the position only."""

    def ours(self, row: Row, move: Move) -> bool:
        return row.next_offset == move.expected


def seconds_to_take_over(store: MemoryStore) -> float:
    """Return how long a new owner takes to commit, while a former one commits late."""
    former = Bench(store).own(P0).session.transaction()
    former.advance([Move(P0, 1, 0, 4)])
    bench = Bench(store, owner="new").own(P0)
    with suppress(TransientStoreError):
        former.commit()

    def poll(poll: fx.Poll) -> object:
        partition = bench.flow.partitions[P0]
        if bench.all(fx.Commit):
            return None
        if partition.live:
            return {P0: messages(range(partition.fetched, 10))}
        bench.clock += poll.seconds
        return {}

    bench.poll = poll  # type: ignore[method-assign]  # feeds what Kafka would
    bench.run(bench.flow.read())
    assert bench.stored() == 10
    return bench.clock


def test_the_epoch_lets_the_new_owner_win_at_once() -> None:
    assert seconds_to_take_over(MemoryStore()) == 0
    assert seconds_to_take_over(WithoutEpoch()) > 0.5


# --- letting go -------------------------------------------------------------------------------


@pytest.mark.requirement("S3-11")
@pytest.mark.parametrize("mode", list(Mode))
def test_after_a_revoke_nothing_of_the_partition_is_written(mode: Mode) -> None:
    bench = Bench(mode=mode).own(P0, P1)
    bench.flow.partitions[P0].add(messages(range(4)))
    bench.run(bench.flow.revoked([P0]))
    revoked = bench.seen.index(bench.all(fx.Revoked)[0])
    bench.consume({P0: messages(range(4)), P1: messages(range(10, 14), P1)})
    later = bench.seen[revoked + 1 :]
    moves = [m for e in later if isinstance(e, fx.Advance) for m in e.moves]
    assert {m.partition for m in moves} == {P1}
    assert bench.effects == [10, 11, 12, 13]


@pytest.mark.requirement("S3-11")
def test_the_user_hears_of_a_revoke_after_the_last_position_is_stored() -> None:
    bench = Bench(mode=Mode.AT_LEAST_ONCE, commit_batch=100, commit_interval=1e9).own(P0)
    bench.flow._advance_at = 1e9
    bench.consume({P0: messages(range(4))})
    kinds = [type(e) for e in bench.seen if isinstance(e, fx.Advance | fx.Revoked | fx.Release)]
    assert kinds == [fx.Advance, fx.Revoked, fx.Release]


def test_a_former_owner_cannot_release_the_row_of_the_next() -> None:
    bench = start(P0)
    other = bench.store.open(GROUP, "other")
    other.claim([P0], {})
    bench.run(bench.flow.revoked([P0]))
    assert bench.store.rows[Key(GROUP, P0)].owner == "other"
    assert bench.all(fx.Release)[0].moves == (Move(P0, 1, 0, 0),)


# --- the mirror -------------------------------------------------------------------------------


def test_the_group_is_shown_the_position_at_the_claim_and_then_once_an_interval() -> None:
    bench = start(P0, mirror=True, mirror_interval=1.0)
    assert [m.positions for m in bench.all(fx.Mirror)] == [{P0: 0}]
    for offset, clock in ((0, 0.1), (1, 0.2), (2, 1.1), (3, 1.2)):
        bench.clock = clock
        bench.flow.partitions[P0].stored = offset + 1
        bench.run(bench.flow.mirror())
    assert [m.positions for m in bench.all(fx.Mirror)] == [{P0: 0}, {P0: 3}]


def test_what_the_interval_held_back_is_shown_once_it_is_over_and_then_no_more() -> None:
    bench = start(P0, mirror=True, mirror_interval=1.0)
    bench.flow.partitions[P0].stored = 5
    for clock in (0.5, 1.5, 2.5, 3.5):
        bench.clock = clock
        bench.run(bench.flow.mirror())
    assert [m.positions for m in bench.all(fx.Mirror)] == [{P0: 0}, {P0: 5}]


def test_what_kafka_did_not_take_is_shown_again() -> None:
    bench = start(P0, mirror=True)
    bench.flow.mirror_failed([P0])
    bench.clock = 2.0
    bench.run(bench.flow.mirror())
    assert [m.positions for m in bench.all(fx.Mirror)] == [{P0: 0}, {P0: 0}]


def test_a_clean_revoke_shows_the_last_position_at_once() -> None:
    bench = start(P0, mirror=True)
    bench.flow.partitions[P0].stored = 5
    bench.run(bench.flow.revoked([P0]))
    assert bench.all(fx.Mirror)[-1].positions == {P0: 5}


@pytest.mark.parametrize("settings", [{"mirror": False}, {"positions": "kafka", "mirror": True}])
def test_without_a_mirror_the_group_is_shown_nothing(settings: dict[str, object]) -> None:
    assert not start(P0, mode=Mode.AT_LEAST_ONCE, **settings).all(fx.Mirror)
