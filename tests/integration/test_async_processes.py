"""Processes with an AsyncConsumer that are killed and stopped, and others that go on."""

from __future__ import annotations

import pytest
from conftest import Start
from pymongo.database import Database
from test_rebalance import settled_after_a_revoke
from trial import (
    PATIENT,
    QUICK,
    Document,
    Fill,
    Verdict,
    effects,
    positions,
    verdict,
    wait_until_done,
)

from eoconsumer.servers import MongoReplicaSet
from eoconsumer.testing.plugin import TopicFactory

pytestmark = [pytest.mark.slow, pytest.mark.requirement("N14", "S3-06", "S3-07")]

COUNT = 240


@pytest.mark.parametrize(
    ("driver", "point"),
    [
        ("pymongo", "written"),
        ("pymongo", "advanced"),
        ("pymongo", "committing"),
        ("pymongo", "committed"),
        ("motor", "committing"),
    ],
)
def test_exactly_once_has_each_effect_once_after_a_kill(
    driver: str,
    point: str,
    start: Start,
    fill: Fill,
    topic_factory: TopicFactory,
    database: Database[Document],
) -> None:
    topic = topic_factory(partitions=3)
    produced = fill(topic, COUNT)
    told = {"asyncio": driver}
    kill = {"point": point, "after": 120, "do": "kill"}
    first = start(topic, told | kill, batch_size=50, readers=1)
    first.wait_until_killed()
    seen, stored = effects(database), positions(database)
    assert set(seen) == {(p, o) for p, o in produced if o < stored.get(p, 0)}

    second = start(topic, told, kafka=PATIENT)
    wait_until_done(database, produced)
    second.stop()

    assert verdict(database, produced) == Verdict()
    assert sorted(second.handled) == sorted(set(produced) - set(seen))


@pytest.mark.requirement("S3-13")
@pytest.mark.parametrize("point", ["advanced", "committed"])
def test_a_zombie_is_fenced_doubles_nothing_and_lives_on(
    point: str, start: Start, fill: Fill, topic: str, database: Database[Document]
) -> None:
    produced = fill(topic, 200)
    told = {"asyncio": "pymongo"}
    stop = {"point": point, "after": 60, "do": "stop"}
    zombie = start(topic, told | stop, readers=1, batch_size=40)
    zombie.wait_until_stopped(point)

    owner = start(topic, told, readers=1)
    wait_until_done(database, produced)
    woken = zombie.resume()
    owner.stop()
    last = fill(topic, 40)
    wait_until_done(database, last)
    zombie.stop()

    assert verdict(database, produced + last) == Verdict()
    assert zombie.heard("settled", since=woken)[-1]["upto"] == {"0": 240}
    assert zombie.heard("restarted") == []
    if point != "committed":
        assert zombie.heard("fenced", since=woken) or zombie.heard("store retry", since=woken)


@pytest.mark.requirement("S3-11")
def test_members_that_join_and_leave_each_second_lose_and_double_nothing(
    start: Start,
    fill: Fill,
    topic_factory: TopicFactory,
    database: Database[Document],
) -> None:
    topic = topic_factory(partitions=6)
    produced = fill(topic, 300)
    settings = {"readers": 1, "batch_size": 20, "kafka": QUICK}
    told = {"asyncio": "pymongo", "slow": 0.002}
    steady = start(topic, told, **settings)
    steady.wait_for("settled")
    churning = [start(topic, told | {"stay": s}, **settings) for s in (1.0, 1.3)]
    for count in (1, 2):  # as for threads: the chaos run churns for longer
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


@pytest.mark.requirement("S3-24")
def test_a_primary_that_is_killed_under_load_and_returns_costs_no_message(
    start: Start,
    fill: Fill,
    topic_factory: TopicFactory,
    mongo_replica_set: MongoReplicaSet,
    database: Database[Document],
) -> None:
    topic = topic_factory(partitions=4)
    produced = fill(topic, 600)
    stop = {"point": "written", "after": 120, "do": "stop"}
    worker = start(topic, {"asyncio": "pymongo", "slow": 0.005, **stop}, batch_size=50)
    worker.wait_until_stopped("written")  # so a transaction is open

    former = mongo_replica_set.wait_for_primary()
    former.kill()
    try:
        met = worker.wait_for("store retry", since=worker.resume())["at"]
        worker.wait_for("settled", 2, since=met)
    finally:
        former.start()
        mongo_replica_set.wait_until_healthy()
    produced += fill(topic, 100)
    wait_until_done(database, produced)
    worker.stop()

    assert verdict(database, produced) == Verdict()
