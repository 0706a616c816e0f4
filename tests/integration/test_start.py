"""From where a partition is read: its stored position, or ``start`` where it was never claimed."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import Consumer as KafkaConsumer
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions
from consuming import Keep, claimed, committed, kept, places, positions, rows, running, send
from trial import DEADLINE, Fill, eventually

from eoconsumer import Message
from eoconsumer.errors import OffsetOutOfRange, PositionError
from eoconsumer.servers import KafkaBroker
from eoconsumer.stores.memory import MemoryStore
from eoconsumer.testing.plugin import TopicFactory

pytestmark = pytest.mark.slow


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore()


class Make:
    """Make consumers of ``topic``; the group has the name of the topic."""

    def __init__(self, broker: KafkaBroker, topic: str, store: MemoryStore) -> None:
        self.bootstrap, self.topic, self.store = broker.bootstrap_servers, topic, store

    def __call__(self, **settings: Any) -> Keep:
        settings = {"topics": [self.topic], "group": self.topic} | settings
        return Keep(self.bootstrap, self.store, **settings)

    @property
    def positions(self) -> dict[int, int]:
        return positions(self.store, self.topic)


@pytest.fixture
def make(kafka_broker: KafkaBroker, topic: str, memory: MemoryStore) -> Make:
    return Make(kafka_broker, topic, memory)


# --- a partition that was never claimed --------------------------------------------------------


@pytest.mark.requirement("S3-10")
def test_earliest_begins_with_the_first_message(make: Make, fill: Fill) -> None:
    produced = fill(make.topic, 5)
    make(start="earliest").run_until(committed(5))
    assert places(kept(make.store)) == produced


@pytest.mark.requirement("S3-10")
@pytest.mark.parametrize("topic", [2], indirect=True)
def test_latest_begins_behind_what_is_there_and_that_is_stored_at_the_claim(
    make: Make, fill: Fill
) -> None:
    fill(make.topic, 10)
    make(start="latest").run_until(claimed(2))
    assert make.positions == {0: 5, 1: 5}
    fill(make.topic, 4)
    make(start="latest").run_until(committed(4))
    assert sorted(places(kept(make.store))) == [(0, 5), (0, 6), (1, 5), (1, 6)]


@pytest.mark.requirement("S3-10")
def test_error_refuses_a_partition_without_a_position_and_says_what_to_do(
    make: Make, fill: Fill
) -> None:
    fill(make.topic, 5)
    with pytest.raises(PositionError, match="no stored position and start=") as refused:
        make(start="error").run()
    assert "earliest" in str(refused.value)
    assert rows(make.store, make.topic) == {}
    make(start="earliest").run_until(committed(5))
    fill(make.topic, 1)
    make(start="error").run_until(committed(1))
    assert make.positions == {0: 6}


def stamped(make: Make, *milliseconds: int) -> None:
    producer = Producer({"bootstrap.servers": make.bootstrap})
    for moment in milliseconds:
        producer.produce(make.topic, b"x", partition=0, timestamp=moment)
    producer.flush(DEADLINE)


@pytest.mark.requirement("S3-10")
@pytest.mark.parametrize("kind", [int, datetime])
def test_a_moment_begins_with_the_first_message_from_then_on(make: Make, kind: type) -> None:
    now = int(time.time()) * 1000
    stamped(make, now - 3000, now - 2000, now - 1000)
    start: Any = now - 2000
    if kind is datetime:
        start = datetime.fromtimestamp(start / 1000, UTC) - timedelta(milliseconds=500)
    make(start=start).run_until(committed(2))
    assert places(kept(make.store)) == [(0, 1), (0, 2)]


@pytest.mark.requirement("S3-10")
def test_a_moment_after_the_last_message_begins_at_the_end(make: Make) -> None:
    now = int(time.time()) * 1000
    stamped(make, now - 3000, now - 2000)
    make(start=now + 60_000).run_until(claimed())
    assert make.positions == {0: 2}


def commit_to_group(make: Make, offset: int) -> None:
    other = KafkaConsumer({"bootstrap.servers": make.bootstrap, "group.id": make.topic})
    other.commit(offsets=[TopicPartition(make.topic, 0, offset)], asynchronous=False)
    other.close()


@pytest.mark.requirement("S3-10")
def test_group_begins_at_what_the_group_committed_in_kafka(make: Make, fill: Fill) -> None:
    fill(make.topic, 5)
    commit_to_group(make, 3)
    make(start="group").run_until(committed(2))
    assert places(kept(make.store)) == [(0, 3), (0, 4)]


@pytest.mark.requirement("S3-10")
def test_group_begins_at_the_beginning_where_the_group_committed_nothing(
    make: Make, fill: Fill
) -> None:
    produced = fill(make.topic, 5)
    make(start="group").run_until(committed(5))
    assert places(kept(make.store)) == produced


@pytest.mark.requirement("S3-10")
@pytest.mark.parametrize("start", ["latest", "group", 0])
def test_a_partition_that_was_claimed_once_does_not_ask_for_its_start_again(
    make: Make, fill: Fill, start: str | int
) -> None:
    fill(make.topic, 5)
    make(start="earliest").run_until(committed(5))
    fill(make.topic, 2)
    commit_to_group(make, 0)
    make(start=start).run_until(committed(2))
    assert places(kept(make.store)) == [(0, n) for n in range(7)]


@pytest.mark.requirement("S3-10")
def test_a_partition_that_is_added_later_starts_at_its_beginning_even_with_latest(
    make: Make, fill: Fill
) -> None:
    fill(make.topic, 3)
    with running(make(start="latest")) as consumer:
        eventually(lambda: consumer.snapshot().claims)
        admin = AdminClient({"bootstrap.servers": make.bootstrap})
        admin.create_partitions([NewPartitions(make.topic, 2)])[make.topic].result()
        send(make.bootstrap, make.topic, b"a", b"b", partition=1)
        eventually(lambda: len(kept(make.store)) == 2)
    assert places(kept(make.store)) == [(1, 0), (1, 1)]


# --- a partition with a position ----------------------------------------------------------------


@pytest.mark.requirement("S3-14")
def test_after_41_comes_42(make: Make, fill: Fill) -> None:
    fill(make.topic, 42)
    make().run_until(committed(42))
    assert make.positions == {0: 42}
    fill(make.topic, 1)
    make().run_until(committed(1))
    assert places(kept(make.store))[-2:] == [(0, 41), (0, 42)]


class Counting(MemoryStore):
    """Remembers which partitions each claim asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.claims: list[set[int]] = []

    def open(self, group: str, owner: str) -> Any:
        session: Any = super().open(group, owner)
        claim = session.claim

        def counted(partitions: Any, starts: Any) -> Any:
            self.claims.append({p.partition for p in partitions})
            return claim(partitions, starts)

        session.claim = counted
        return session


@pytest.mark.requirement("S3-09")
@pytest.mark.parametrize("topic", [4], indirect=True)
def test_an_assignment_loads_its_positions_once_and_each_partition_starts_at_its_own(
    kafka_broker: KafkaBroker, topic: str, fill: Fill
) -> None:
    make = Make(kafka_broker, topic, Counting())
    fill(topic, 40)
    make(start="latest", readers=1).run_until(claimed(4))
    for key, row in make.store.rows.items():
        row.next_offset = key.partition.partition
    make.store.claims.clear()  # type: ignore[attr-defined]

    make(readers=1).run_until(committed(40 - 0 - 1 - 2 - 3))

    assert make.store.claims == [{0, 1, 2, 3}]  # type: ignore[attr-defined]
    wanted = [(p, o) for p in range(4) for o in range(p, 10)]
    assert sorted(places(kept(make.store))) == wanted


@pytest.mark.requirement("S3-15")
def test_two_topics_with_equal_partition_numbers_keep_their_positions_apart(
    make: Make, topic_factory: TopicFactory, fill: Fill
) -> None:
    other = topic_factory()
    fill(make.topic, 3)
    fill(other, 5)
    make(topics=[make.topic, other]).run_until(committed(8))
    stored = {k.partition.topic: r.next_offset for k, r in rows(make.store, make.topic).items()}
    assert stored == {make.topic: 3, other: 5}
    fill(make.topic, 1)
    fill(other, 1)
    make(topics=[make.topic, other]).run_until(committed(2))
    assert [(m.topic, m.offset) for m in sorted(kept(make.store)[8:], key=topic_of)] == sorted(
        [(make.topic, 3), (other, 5)]
    )


def topic_of(message: Message) -> str:
    return message.topic


@pytest.mark.requirement("S3-16")
def test_two_groups_on_one_database_each_get_every_message(make: Make, fill: Fill) -> None:
    produced = fill(make.topic, 5)
    make().run_until(committed(3))
    make(group=f"{make.topic}-other").run_until(committed(5))
    assert places(kept(make.store)) == [*produced, *produced]
    assert positions(make.store, f"{make.topic}-other") == {0: 5}


# --- a position that does not fit the topic ------------------------------------------------------


@pytest.mark.parametrize("where", ["before the first", "behind the last"])
def test_a_position_outside_the_log_stops_the_consumer_and_nothing_is_handled(
    make: Make, fill: Fill, where: str
) -> None:
    fill(make.topic, 10)
    make(start="latest").run_until(claimed())
    [row] = rows(make.store, make.topic).values()
    row.next_offset = 0 if where == "before the first" else 1000
    admin = AdminClient({"bootstrap.servers": make.bootstrap})
    place = TopicPartition(make.topic, 0, 5)
    admin.delete_records([place])[place].result()

    with pytest.raises(OffsetOutOfRange, match="lies outside, "):
        make().run_until(committed(1))
    assert kept(make.store) == []


# --- offsets have gaps --------------------------------------------------------------------------


def test_aborted_transactions_and_markers_are_gaps_that_do_no_harm(make: Make) -> None:
    producer = Producer({"bootstrap.servers": make.bootstrap, "transactional.id": make.topic})
    producer.init_transactions(DEADLINE)
    for outcome in ("commit", "abort", "commit", "abort"):
        producer.begin_transaction()
        for n in range(3):
            producer.produce(make.topic, f"{outcome}-{n}".encode(), partition=0)
        getattr(producer, f"{outcome}_transaction")(DEADLINE)

    make().run_until(committed(6))
    assert [m.value for m in kept(make.store)] == [b"commit-%d" % n for n in (0, 1, 2)] * 2
    [upto] = make.positions.values()
    assert upto == kept(make.store)[-1].offset + 1

    producer.begin_transaction()
    producer.produce(make.topic, b"last", partition=0)
    producer.commit_transaction(DEADLINE)
    make().run_until(committed(1))
    assert [m.value for m in kept(make.store)[6:]] == [b"last"]


def test_messages_that_compaction_removed_are_gaps_that_do_no_harm(
    kafka_broker: KafkaBroker, topic_factory: TopicFactory, memory: MemoryStore
) -> None:
    topic = topic_factory(
        1, cleanup_policy="compact", segment_ms="100", min_cleanable_dirty_ratio="0.01"
    )
    make = Make(kafka_broker, topic, memory)
    producer = Producer({"bootstrap.servers": make.bootstrap})

    def first_offset() -> int:
        producer.produce(topic, b"again", b"key", partition=0)
        producer.flush(DEADLINE)
        reader = KafkaConsumer(
            {
                "bootstrap.servers": make.bootstrap,
                "group.id": "look",
                "isolation.level": "read_uncommitted",
            }
        )
        reader.assign([TopicPartition(topic, 0, 0)])
        [message] = reader.consume(1, DEADLINE)
        reader.close()
        return message.offset() or 0

    make(start="earliest").run_until(claimed())
    eventually(first_offset, lambda offset: offset > 2, seconds=60)
    send(make.bootstrap, topic)
    producer.produce(topic, b"last", b"other", partition=0)
    producer.flush(DEADLINE)

    consumer = make()
    with running(consumer):
        eventually(lambda: any(m.value == b"last" for m in kept(memory)))
    offsets = [m.offset for m in kept(memory)]
    assert offsets == sorted(set(offsets))
    assert offsets[0] > 2
