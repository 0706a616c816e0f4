"""Members that come and go under load, in all protocols by which Kafka shares partitions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from threading import Timer
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from conftest import Start
from consuming import Keep, kept, places, running
from own_broker import kafka_broker
from pymongo.database import Database
from trial import (
    QUICK,
    QUICK_848,
    Document,
    Fill,
    Verdict,
    eventually,
    verdict,
    wait_until_done,
)
from worker import Worker

from eoconsumer import Mode
from eoconsumer.kafka import KafkaSource, client_settings
from eoconsumer.message import OFFSET, PARTITION, TopicPartition
from eoconsumer.servers import KafkaBroker
from eoconsumer.stores.memory import MemoryStore
from eoconsumer.testing.plugin import TopicFactory

__all__ = ["kafka_broker"]

#: Nobody is killed here, but a member that is thrown out all the same must not hold up the others.
STEADY = QUICK | {"session.timeout.ms": 10_000}
PROTOCOLS = {
    "cooperative": STEADY,
    "eager": STEADY | {"partition.assignment.strategy": "range"},
    "consumer": QUICK_848,
}
protocols = pytest.mark.parametrize("kafka", PROTOCOLS.values(), ids=PROTOCOLS)


def members(broker: KafkaBroker, group: str) -> int:
    """Return how many members Kafka counts in ``group``."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    return len(admin.describe_consumer_groups([group])[group].result().members)


def settled_after_a_revoke(worker: Worker) -> list[tuple[str, int]]:
    """Return each partition that ``worker`` (of one reader) committed when it was not its own."""
    owned: set[str] = set()
    wrong = []
    for line in worker.lines:
        if line["said"] == "claimed":
            owned |= line["positions"].keys()
        elif line["said"] == "revoked":
            owned -= {str(partition) for partition in line["partitions"]}
        elif line["said"] == "settled":
            wrong += [(p, upto) for p, upto in line["upto"].items() if p not in owned]
    return wrong


@pytest.mark.slow
@pytest.mark.requirement("S3-06", "S3-11", "S3-13")
@protocols
def test_members_that_join_and_leave_each_second_lose_and_double_nothing(
    kafka: dict[str, Any],
    start: Start,
    fill: Fill,
    topic_factory: TopicFactory,
    database: Database[Document],
) -> None:
    topic = topic_factory(partitions=6)
    produced = fill(topic, 300)
    settings = {"readers": 1, "batch_size": 20, "kafka": kafka}
    steady = start(topic, {"slow": 0.002}, **settings)
    steady.wait_for("settled")
    churning = [start(topic, {"stay": s, "slow": 0.002}, **settings) for s in (1.0, 1.3)]
    for count in (1, 2):  # the chaos run churns for longer
        for worker in churning:
            worker.wait_for("claimed", count)
        produced += fill(topic, 300)
    for worker in churning:
        worker.stop()
    wait_until_done(database, produced)
    steady.stop()

    assert verdict(database, produced) == Verdict()
    for worker in (steady, *churning):
        assert worker.heard("revoked"), "no partition ever left it"
        assert settled_after_a_revoke(worker) == []
        assert worker.heard("restarted") == []


@pytest.mark.slow
@pytest.mark.requirement("S3-11", "S3-14")
@protocols
def test_a_partition_goes_on_elsewhere_at_the_position_that_it_had_when_revoked(
    kafka: dict[str, Any],
    start: Start,
    fill: Fill,
    topic_factory: TopicFactory,
    database: Database[Document],
) -> None:
    topic = topic_factory(partitions=2)
    produced = fill(topic, 400)
    first = start(topic, {"slow": 0.005}, readers=1, batch_size=20, kafka=kafka)
    first.wait_for("settled")
    second = start(topic, {"slow": 0.005}, readers=1, batch_size=20, kafka=kafka)
    claim = second.wait_for("claimed")
    produced += fill(topic, 40)
    wait_until_done(database, produced)
    for worker in (first, second):
        worker.stop()

    (partition, position), *_ = claim["positions"].items()
    begun = dict(reversed(second.handled))
    assert begun[int(partition)] == position
    assert int(partition) in first.heard("revoked")[0]["partitions"]
    assert not set(first.handled) & set(second.handled)
    assert verdict(database, produced) == Verdict()


@pytest.mark.slow
@pytest.mark.requirement("S3-13")
def test_a_static_member_that_returns_in_time_moves_no_partition(
    start: Start, fill: Fill, topic_factory: TopicFactory, database: Database[Document]
) -> None:
    topic = topic_factory(partitions=2)
    produced = fill(topic, 100)

    def member(name: str) -> Worker:
        own = QUICK | {"session.timeout.ms": 120_000, "group.instance.id": name}
        return start(topic, readers=1, kafka=own)

    former = member("returning")
    former.wait_for("claimed")
    other = member("other")
    before = other.wait_for("assigned")["at"]
    wait_until_done(database, produced)
    former.kill()
    produced += fill(topic, 100)
    member("returning").wait_for("settled")
    wait_until_done(database, produced)

    assert other.heard("assigned", since=before) == other.heard("revoked", since=before) == []
    assert verdict(database, produced) == Verdict()


@pytest.mark.slow
@pytest.mark.requirement("S3-13")
@protocols
def test_readers_without_a_partition_wait_and_take_over_when_one_is_free(
    kafka: dict[str, Any],
    start: Start,
    fill: Fill,
    topic: str,
    kafka_broker: KafkaBroker,
    database: Database[Document],
) -> None:
    produced = fill(topic, 50)
    spare = start(topic, readers=3, kafka=kafka)
    wait_until_done(database, produced)
    other = start(topic, readers=2, kafka=kafka)
    eventually(lambda: members(kafka_broker, topic), lambda count: count == 5)
    spare.stop()
    produced += fill(topic, 50)
    wait_until_done(database, produced)
    other.stop()

    assert verdict(database, produced) == Verdict()
    assert spare.heard("restarted") + other.heard("restarted") == []


@pytest.mark.slow
@pytest.mark.requirement("S3-14")
@protocols
def test_a_broker_that_answers_late_does_not_move_the_position(
    kafka: dict[str, Any], fill: Fill, topic: str, kafka_broker: KafkaBroker
) -> None:
    fill(topic, 5)
    settings = client_settings(kafka_broker.bootstrap_servers, topic, Mode.EXACTLY_ONCE, kafka)
    source = KafkaSource(settings)
    given: list[TopicPartition] = []

    def stop_the_broker(keys: list[TopicPartition]) -> None:
        given.extend(keys)
        kafka_broker.pause()
        Timer(0.2, kafka_broker.resume).start()

    source.subscribe([topic], stop_the_broker, lambda _: None, lambda _: None)
    try:
        eventually(lambda: source.poll(10, 0.05) or given)
        source.assign({given[0]: 2}, {})
        assert eventually(lambda: source.poll(10, 0.2))[0][OFFSET] == 2
    finally:
        source.close()


@pytest.mark.slow
@pytest.mark.requirement("S3-12")
@pytest.mark.parametrize("topic", [2], indirect=True)
@protocols
def test_a_partition_revoked_while_it_was_paused_is_fetched_when_it_comes_back(
    kafka: dict[str, Any], fill: Fill, topic: str, kafka_broker: KafkaBroker
) -> None:
    settings = client_settings(kafka_broker.bootstrap_servers, topic, Mode.EXACTLY_ONCE, kafka)
    source, other = KafkaSource(settings), KafkaSource(settings)
    here: set[TopicPartition] = set()

    def take(keys: list[TopicPartition]) -> None:
        here.update(keys)

    def give(keys: list[TopicPartition]) -> None:
        here.difference_update(keys)

    both = {TopicPartition(topic, number): 0 for number in (0, 1)}
    source.subscribe([topic], take, give, give)
    try:
        eventually(lambda: source.poll(1, 0.05) or len(here) == 2)
        source.assign(both, {})
        source.pause(both)
        other.subscribe([topic], lambda _: None, lambda _: None, lambda _: None)
        eventually(lambda: source.poll(1, 0.05) or other.poll(1, 0.05) or len(here) < 2)
        source.resume(both)  # what a reader does that was busy until now
        other.close()
        eventually(lambda: source.poll(1, 0.05) or len(here) == 2)
        source.assign(both, {})
        fill(topic, 2)
        got: set[int | None] = set()
        eventually(lambda: got.update(m[PARTITION] for m in source.poll(9, 0.1)) or got == {0, 1})
    finally:
        source.close()


def _poll_until(sources: Iterable[KafkaSource], given: Sequence[TopicPartition]) -> bool:
    return any(source.poll(1, 0.01) for source in sources) or bool(given)


@pytest.mark.slow
@pytest.mark.requirement("S3-13")
def test_a_member_that_leaves_in_the_middle_of_a_rebalance_is_not_waited_for(
    topic: str, kafka_broker: KafkaBroker
) -> None:
    # The session is longer than the test waits: who does not say goodbye is still there at its end.
    kafka = {"session.timeout.ms": 45_000}
    settings = client_settings(kafka_broker.bootstrap_servers, topic, Mode.EXACTLY_ONCE, kafka)
    for milliseconds in range(0, 16, 2):
        first, second = KafkaSource(settings), KafkaSource(settings)
        given: list[TopicPartition] = []
        first.subscribe([topic], given.extend, lambda _: None, lambda _: None)
        second.subscribe([topic], given.extend, lambda _: None, lambda _: None)
        eventually(partial(_poll_until, (first, second), given))
        first.close()  # now the second one is answered, and asks for its share
        second.poll(1, milliseconds / 1000)
        second.close()
        eventually(lambda: members(kafka_broker, topic), lambda count: count == 0, seconds=20)


@pytest.mark.slow
def test_a_static_member_joins_by_the_new_protocol_once_the_one_before_it_is_gone(
    kafka_broker: KafkaBroker, topic: str, fill: Fill
) -> None:
    def member() -> Keep:
        own = QUICK_848 | {"group.instance.id": "ledger"}
        settings = {"topics": [topic], "group": topic, "readers": 1, "kafka": own}
        return Keep(kafka_broker.bootstrap_servers, memory, **settings)

    memory = MemoryStore()
    before, after = member(), member()
    fill(topic, 1)
    with ExitStack() as left:
        with running(before):
            eventually(lambda: before.snapshot().committed)
            left.enter_context(running(after))
            eventually(lambda: after.snapshot().restarts)  # its name is taken yet
        fill(topic, 1)
        eventually(lambda: after.snapshot().committed)
    assert places(kept(memory)) == [(0, 0), (0, 1)]
