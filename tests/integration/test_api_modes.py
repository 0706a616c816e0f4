"""Where the offset write stands in each mode, and moving between the modes."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient
from consuming import Keep, committed, kept, places, running, within
from trial import DEADLINE, Fill, eventually

from eoconsumer import Message, RetryPolicy
from eoconsumer.core.positions import Move
from eoconsumer.errors import HandlerFailed
from eoconsumer.servers import KafkaBroker
from eoconsumer.stores.memory import Key, MemoryStore, MemoryStoreSession, Row

pytestmark = pytest.mark.slow


class Recorded(MemoryStore):
    """Remembers every step of a position, with how many messages were handled by then."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[int, int]] = []

    def apply(self, group: str, moves: Any, lane: Any) -> Any:
        self.steps += [(len(self.tables["kept"]), move.upto) for move in moves]
        return super().apply(group, moves, lane)


class Make:
    """Make consumers of ``topic`` that share a store and a group."""

    def __init__(self, broker: KafkaBroker, topic: str) -> None:
        self.bootstrap, self.topic, self.store = broker.bootstrap_servers, topic, Recorded()

    def __call__(self, mode: str, positions: str = "store", **settings: Any) -> Keep:
        kind = settings.pop("kind", Keep)
        settings = {"topics": [self.topic], "group": self.topic, "readers": 1} | settings
        made: Keep = kind(self.bootstrap, self.store, mode=mode, positions=positions, **settings)
        return made

    @property
    def row(self) -> Row:
        [row] = self.store.rows.values()
        return row

    @property
    def group(self) -> int:
        """The offset that the group committed in Kafka."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        asked = [ConsumerGroupTopicPartitions(self.topic)]
        found = (
            admin.list_consumer_group_offsets(asked)[self.topic].result(DEADLINE).topic_partitions
        )
        return found[0].offset if found else -1


@pytest.fixture
def make(kafka_broker: KafkaBroker, topic: str) -> Make:
    return Make(kafka_broker, topic)


# --- at least once --------------------------------------------------------------------------------


@pytest.mark.requirement("S3-02", "S3-03")
@pytest.mark.parametrize("batch", [1, 10])
def test_at_least_once_stores_the_position_after_every_commit_batch_messages(
    make: Make, fill: Fill, batch: int
) -> None:
    fill(make.topic, 40)
    make("at_least_once", commit_batch=batch, commit_interval=3600).run_until(committed(40))
    before = 0
    for handled, upto in make.store.steps:
        assert upto <= handled
        assert upto - before <= batch
        before = upto
    assert make.row.next_offset == 40


@pytest.mark.requirement("S3-02")
def test_at_least_once_stores_the_position_after_commit_interval_seconds(
    make: Make, fill: Fill
) -> None:
    fill(make.topic, 5)
    with running(make("at_least_once", commit_batch=1000, commit_interval=0.2)):
        eventually(lambda: make.store.rows and make.row.next_offset == 5)
    assert all(upto <= handled for handled, upto in make.store.steps)


@pytest.mark.requirement("S3-02")
def test_at_least_once_stores_the_position_once_more_at_a_stop(make: Make, fill: Fill) -> None:
    fill(make.topic, 1)
    make("at_least_once", commit_interval=0).run_until(committed(1))
    fill(make.topic, 5)
    make("at_least_once", commit_batch=1000, commit_interval=3600).run_until(committed(5))
    assert make.row.next_offset == 6


@pytest.mark.requirement("S3-02")
@pytest.mark.parametrize("topic", [2], indirect=True)
def test_at_least_once_stores_the_position_once_more_at_a_revoke(make: Make, fill: Fill) -> None:
    fill(make.topic, 10)
    slow = {"commit_batch": 1000, "commit_interval": 3600}
    with running(make("at_least_once", **slow)) as first:
        eventually(lambda: first.snapshot().committed == 10)
        with running(make("at_least_once", **slow)) as second:
            eventually(lambda: second.snapshot().claims)
            [key] = second.snapshot().positions
            assert make.store.rows[Key(make.topic, key)].next_offset == 5
    assert len(kept(make.store)) == 10


class Failing(Keep):
    """Fails at offset 3."""

    retry = RetryPolicy(attempts=1)

    def handle(self, message: Message, session: Any) -> None:
        if message.offset == 3:
            raise ValueError("three")
        super().handle(message, session)


@pytest.mark.requirement("S3-02")
@pytest.mark.parametrize("positions", ["store", "kafka"])
def test_at_least_once_a_message_that_fails_for_good_comes_again_at_the_next_start(
    make: Make, fill: Fill, positions: str
) -> None:
    fill(make.topic, 6)
    with pytest.raises(HandlerFailed, match=r"\[0\]@3 .*ValueError: three"):
        make("at_least_once", positions, kind=Failing).run_until(committed(6))
    make("at_least_once", positions).run_until(committed(3))
    assert places(kept(make.store)) == [(0, n) for n in range(6)]


# --- at most once ---------------------------------------------------------------------------------


@pytest.mark.requirement("S3-05")
def test_at_most_once_the_position_is_stored_before_the_handler_starts(
    make: Make, fill: Fill
) -> None:
    seen: list[tuple[int, int]] = []

    class Looking(Keep):
        def handle(self, message: Message, session: Any) -> None:  # noqa: ARG002 - as users write
            seen.append((message.offset, make.row.next_offset))

    fill(make.topic, 20)
    make("at_most_once", kind=Looking, commit_batch=4).run_until(committed(20))
    assert [offset for offset, _ in seen] == list(range(20))
    assert all(offset < stored <= offset + 4 for offset, stored in seen)


@pytest.mark.requirement("S3-05")
def test_at_most_once_with_positions_in_kafka_the_group_commits_before_the_handler_starts(
    make: Make, fill: Fill
) -> None:
    seen: list[tuple[int, int]] = []

    class Looking(Keep):
        def handle(self, message: Message, session: Any) -> None:  # noqa: ARG002 - as users write
            seen.append((message.offset, make.group))

    fill(make.topic, 6)
    make("at_most_once", "kafka", kind=Looking, commit_batch=2).run_until(committed(6))
    assert [offset for offset, _ in seen] == list(range(6))
    assert all(offset < stored <= offset + 2 for offset, stored in seen)


@pytest.mark.requirement("S3-05")
@pytest.mark.parametrize("positions", ["store", "kafka"])
def test_at_most_once_a_message_that_failed_never_comes_again(
    make: Make, fill: Fill, positions: str
) -> None:
    fill(make.topic, 6)
    with pytest.raises(HandlerFailed, match=r"\[0\]@3"):
        make("at_most_once", positions, kind=Failing, commit_batch=1).run_until(committed(6))
    make("at_most_once", positions).run_until(committed(2))
    assert places(kept(make.store)) == [(0, 0), (0, 1), (0, 2), (0, 4), (0, 5)]


# --- positions in Kafka ---------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["at_least_once", "at_most_once"])
def test_with_positions_in_kafka_the_group_is_the_truth_and_the_row_says_so(
    make: Make, fill: Fill, mode: str
) -> None:
    fill(make.topic, 5)
    make(mode, "kafka").run_until(committed(5))
    assert make.group == 5
    assert make.row.handed_over
    fill(make.topic, 2)
    make(mode, "kafka").run_until(committed(2))
    assert places(kept(make.store)) == [(0, n) for n in range(7)]
    assert make.store.steps == []


CHANGES = [
    ("at_least_once", "store"),
    ("exactly_once", "store"),
    ("at_least_once", "kafka"),
    ("exactly_once", "store"),
    ("at_most_once", "store"),
    ("at_most_once", "kafka"),
    ("at_least_once", "store"),
    ("at_most_once", "kafka"),
    ("at_least_once", "kafka"),
    ("exactly_once", "store"),
]


@pytest.mark.parametrize("topic", [3], indirect=True)
def test_a_round_trip_through_all_modes_loses_and_doubles_nothing(make: Make, fill: Fill) -> None:
    produced: list[tuple[int, int]] = []
    for mode, positions in CHANGES:
        produced += fill(make.topic, 30)
        consumer = make(mode, positions, readers=2)
        consumer.run_until(committed(30))
        assert sorted(places(kept(make.store))) == sorted(produced), (mode, positions)
    assert not any(row.handed_over for row in make.store.rows.values())


def test_exactly_once_takes_over_where_a_consumer_without_the_store_has_stopped(
    make: Make, fill: Fill
) -> None:
    fill(make.topic, 5)
    make("at_least_once", "kafka").run_until(committed(5))
    make.row.next_offset = 1  # the row is out of date, as it is when Kafka holds the truth
    fill(make.topic, 2)
    make("exactly_once").run_until(committed(2))
    assert places(kept(make.store)) == [(0, n) for n in range(7)]
    assert make.row.next_offset == 7
    assert not make.row.handed_over


def test_a_fenced_advance_is_counted_and_the_partition_is_claimed_again(
    make: Make, fill: Fill
) -> None:
    class Intruder(Recorded):
        """Another owner claims the row right before the first advance."""

        def ours(self, row: Row, move: Move) -> bool:
            if not self.steps:
                self.steps.append((0, 0))
                MemoryStoreSession(self, make.topic, "intruder").claim([move.partition], {})
            return super().ours(row, move)

    make.store = Intruder()
    fill(make.topic, 5)
    seen = make("exactly_once").run_until(within(lambda seen: seen.committed >= 5))
    assert seen.fenced == 1
    assert places(kept(make.store)) == [(0, n) for n in range(5)]
