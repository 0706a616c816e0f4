"""Servers that die under load and come back: the consumer's process lives on."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest
from conftest import Start
from own_broker import kafka_broker
from pymongo.database import Database
from trial import Document, Fill, Verdict, eventually, positions, verdict, wait_until_done

from eoconsumer.servers import KafkaBroker, MongoReplicaSet
from eoconsumer.testing.plugin import TopicFactory

__all__ = ["kafka_broker"]

COUNT = 600
#: A worker stands in an open transaction while its servers die, and has much left to do.
STOP = {"point": "written", "after": 120, "do": "stop"}


@pytest.fixture(autouse=True)
def healthy_servers(
    kafka_broker: KafkaBroker, mongo_replica_set: MongoReplicaSet
) -> Iterator[None]:
    """Bring the shared servers back to health, whatever became of the test."""
    yield
    for node in mongo_replica_set.nodes:
        node.start()
    mongo_replica_set.wait_for_primary()
    mongo_replica_set.wait_until_healthy()
    kafka_broker.start()


@pytest.mark.slow
@pytest.mark.requirement("S3-06", "S3-24")
def test_a_primary_that_is_killed_under_load_and_returns_costs_no_message(
    start: Start,
    fill: Fill,
    topic_factory: TopicFactory,
    mongo_replica_set: MongoReplicaSet,
    database: Database[Document],
) -> None:
    topic = topic_factory(partitions=4)
    produced = fill(topic, COUNT)
    worker = start(topic, {"slow": 0.005, **STOP}, batch_size=50)
    worker.wait_until_stopped("written")  # so a transaction is open

    former = mongo_replica_set.wait_for_primary()
    former.kill()
    met = worker.wait_for("store retry", since=worker.resume())["at"]
    worker.wait_for("settled", 2, since=met)
    former.start()
    produced += fill(topic, 100)
    wait_until_done(database, produced)
    worker.stop()

    assert verdict(database, produced) == Verdict()


@pytest.mark.slow
@pytest.mark.requirement("S3-03", "S3-24")
def test_at_least_once_loses_nothing_when_the_primary_is_killed(
    start: Start,
    fill: Fill,
    topic_factory: TopicFactory,
    mongo_replica_set: MongoReplicaSet,
    database: Database[Document],
) -> None:
    topic = topic_factory(partitions=2)
    produced = fill(topic, 300)
    worker = start(topic, mode="at_least_once", commit_batch=20)
    worker.wait_for("settled", 2)
    mongo_replica_set.wait_for_primary().kill()
    wait_until_done(database, produced)
    worker.stop()

    assert verdict(database, produced).lost == 0


@pytest.mark.slow
@pytest.mark.requirement("S3-06", "S3-24")
def test_both_servers_killed_at_once_under_load_cost_no_message_and_fill_no_log(
    start: Start,
    fill: Fill,
    topic_factory: TopicFactory,
    kafka_broker: KafkaBroker,
    mongo_replica_set: MongoReplicaSet,
    database: Database[Document],
) -> None:
    topic = topic_factory(partitions=4)
    produced = fill(topic, COUNT)
    workers = [start(topic, {"slow": 0.005, **STOP}, batch_size=50, readers=1) for _ in range(2)]
    for worker in workers:
        worker.wait_until_stopped("written")

    before = positions(database)
    mongo_replica_set.wait_for_primary().kill()
    kafka_broker.kill()
    kafka_broker.start()
    for worker in workers:
        worker.resume()
    eventually(lambda: positions(database), lambda now: now != before)
    produced += fill(topic, 100)
    wait_until_done(database, produced)
    for worker in workers:
        worker.stop()

    assert verdict(database, produced) == Verdict()
    for worker in workers:
        assert worker.log.read_text().count("librdkafka tries again by itself") < 20


@pytest.mark.slow
@pytest.mark.requirement("S3-06", "S3-24")
def test_a_primary_whose_disk_takes_no_more_costs_no_message(
    start: Start,
    fill: Fill,
    topic_factory: TopicFactory,
    mongo_replica_set: MongoReplicaSet,
    database: Database[Document],
) -> None:
    topic = topic_factory(partitions=4)
    produced = fill(topic, COUNT)
    worker = start(topic, {"slow": 0.005, **STOP}, batch_size=50)
    worker.wait_until_stopped("written")

    former = mongo_replica_set.wait_for_primary()
    resource.prlimit(former.pid, resource.RLIMIT_FSIZE, (0, 0))
    filled = worker.resume()
    eventually(lambda: not former.alive)  # it ends itself rather than go on without its journal
    worker.wait_for("settled", 2, since=filled)
    former.start()
    produced += fill(topic, 100)
    wait_until_done(database, produced)
    worker.stop()

    assert verdict(database, produced) == Verdict()
