"""Three brokers: leaders and coordinators that die under load, and a log that loses its end."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import KafkaError, Producer
from confluent_kafka import Message as KafkaMessage
from consuming import Keep, committed, kept, places, positions, running
from trial import DEADLINE, Place, eventually

from eoconsumer.errors import LogTruncated, OffsetOutOfRange
from eoconsumer.servers import KafkaCluster
from eoconsumer.stores.memory import MemoryStore

pytestmark = pytest.mark.slow

#: A copy that lost the end of the log may become the leader.
UNCLEAN = {"min_insync_replicas": "1", "unclean_leader_election_enable": "true"}
#: Seconds: three brokers on a busy machine, of which one dies, and elections of leaders and groups.
PATIENCE = 2 * DEADLINE
QUICK = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 300, "reconnect.backoff.max.ms": 500}


@pytest.fixture(scope="module")
def started() -> Iterator[KafkaCluster]:
    with KafkaCluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(started: KafkaCluster) -> KafkaCluster:
    """The cluster with all of its nodes: a test leaves those dead that it has killed."""
    for node in started.nodes:
        if not node.alive:
            node.start()
    started.wait_for_nodes(3)
    return started


@contextmanager
def producing(cluster: KafkaCluster, topic: str, partitions: int) -> Iterator[list[Place]]:
    """Produce without a pause to all partitions; the list gets what the brokers have taken."""
    taken: list[Place] = []
    over = threading.Event()

    def delivered(error: KafkaError | None, message: KafkaMessage) -> None:
        if error is None:
            taken.append((message.partition() or 0, message.offset() or 0))

    def produce() -> None:
        servers = cluster.bootstrap_servers
        producer = Producer({"bootstrap.servers": servers, "enable.idempotence": True})
        count = 0
        while not over.wait(0.002):
            partition = count % partitions
            producer.produce(topic, b"%d" % count, partition=partition, on_delivery=delivered)
            count += 1
            producer.poll(0)
        assert producer.flush(PATIENCE) == 0

    thread = threading.Thread(target=produce, name="producing")
    thread.start()
    try:
        yield taken
    finally:
        over.set()
        thread.join()


@pytest.mark.requirement("S3-06")
def test_a_node_that_leads_and_coordinates_and_dies_under_load_loses_and_doubles_nothing(
    cluster: KafkaCluster,
) -> None:
    topic, store = "moves", MemoryStore()
    cluster.create_topic(topic, partitions=3)  # each node leads one
    consumer = Keep(
        cluster.bootstrap_servers, store, topics=[topic], group=topic, kafka=QUICK, readers=2
    )

    def goes_on() -> None:
        before = positions(store, topic)
        eventually(
            lambda: positions(store, topic),
            lambda now: len(now) == 3 and all(now[p] > before.get(p, 0) for p in now),
            seconds=PATIENCE,
        )

    with producing(cluster, topic, 3) as taken, running(consumer):
        goes_on()
        node = cluster.coordinator(topic)
        led = [p for p in range(3) if cluster.leader(topic, p) is node]
        node.kill()
        goes_on()
        assert led
        assert cluster.coordinator(topic) is not node

    with running(consumer):
        eventually(lambda: len(kept(store)), lambda count: count >= len(taken), PATIENCE)
    handled = places(kept(store))
    assert Counter(handled) == Counter(taken)
    by_partition: dict[int, list[int]] = defaultdict(list)
    for partition, offset in handled:
        by_partition[partition].append(offset)
    assert all(offsets == sorted(offsets) for offsets in by_partition.values())


@pytest.mark.requirement("N6")
def test_an_unclean_election_that_cuts_the_log_stops_consumers_before_any_message_is_handled(
    cluster: KafkaCluster,
) -> None:
    topic, store, errors = "cut", MemoryStore(), list[BaseException]()
    cluster.create_topic(topic, replicas=2, **UNCLEAN)
    leader = cluster.leader(topic)
    copies = eventually(lambda: cluster.in_sync(topic), lambda nodes: len(nodes) == 2)
    follower = next(node for node in copies if node is not leader)

    def consumer() -> Keep:
        ours: dict[str, Any] = {"topics": [topic], "group": topic, "kafka": QUICK}
        return Keep(cluster.bootstrap_servers, store, identity_interval=0.5, **ours)

    def produce(count: int) -> None:
        producer = Producer({"bootstrap.servers": cluster.bootstrap_servers, "acks": "all"})
        for _ in range(count):
            producer.produce(topic, b"x")
        assert producer.flush(DEADLINE) == 0

    # 1. The leader alone has the last ten of twenty messages, and all of them are handled.
    produce(10)
    eventually(lambda: cluster.in_sync(topic), lambda nodes: len(nodes) == 2)
    follower.kill()
    eventually(lambda: cluster.in_sync(topic), lambda nodes: nodes == [leader])
    produce(10)
    consumer().run_until(committed(20))
    store.tables.clear()

    with running(consumer(), errors) as running_one:
        eventually(lambda: running_one.snapshot().positions)
        # 2. The leader dies, and the follower takes over with half of the log.
        leader.kill()
        follower.start()
        assert cluster.leader(topic) is follower
        eventually(lambda: errors)
    assert isinstance(errors[0], OffsetOutOfRange)
    assert errors[0].missing == 10

    # 3. The log grows again, past the position.
    produce(15)
    with pytest.raises(LogTruncated) as truncated:
        consumer().run_until(committed(1))

    assert truncated.value.partition == (topic, 0)
    assert kept(store) == []
    assert positions(store, topic) == {0: 20}
