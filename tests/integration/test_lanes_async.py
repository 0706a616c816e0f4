"""Lanes on an event loop under kills, rebalances, zombies and cancellations, on real servers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from conftest import Start
from consuming import within
from pymongo.database import Database
from test_async_running import Cancelled, Effects, cancelled_at
from test_lanes_faults import (
    assert_each_once,
    numbers_of_lanes,
    while_another_comes_and_goes,
)
from trial import EFFECTS, PATIENT, Document, Fill, effects, verdict, wait_until_done

from eoconsumer.core.lanes import Lane
from eoconsumer.message import TopicPartition
from eoconsumer.servers import KafkaBroker
from eoconsumer.stores.mongo import AsyncMongoStore
from eoconsumer.testing.plugin import TopicFactory

pytestmark = [pytest.mark.slow, pytest.mark.requirement("N2", "N14")]

COUNT = 240


@pytest.mark.requirement("S3-06", "S3-07", "S3-08")
@pytest.mark.parametrize(
    ("driver", "point", "before", "after"),
    [
        ("pymongo", "written", 4, 3),
        ("pymongo", "committed", 4, 0),
        ("motor", "committing", 4, 4),
    ],
)
def test_after_a_kill_each_message_is_there_once_and_its_key_in_order(
    driver: str,
    point: str,
    before: int,
    after: int,
    start: Start,
    fill: Fill,
    topic: str,
    database: Database[Document],
) -> None:
    produced, told = fill(topic, COUNT), {"asyncio": driver}
    kill = {"point": point, "after": 120, "do": "kill"}
    first = start(topic, told | kill, lanes=before, batch_size=20, readers=1)
    first.wait_until_killed()

    second = start(topic, told, lanes=after, readers=1, kafka=PATIENT)
    wait_until_done(database, produced)
    second.stop()

    assert numbers_of_lanes(database) == {before, after} - {0}
    assert_each_once(database, produced)
    # Counted at the end: a commit of another lane may have been on its way when the first one died.
    done = database[EFFECTS].count_documents({"by": first.pid})
    assert 0 < done == COUNT - len(second.handled)


def test_at_least_once_lanes_lose_nothing_by_a_kill(
    start: Start, fill: Fill, topic: str, database: Database[Document]
) -> None:
    produced, told = fill(topic, COUNT), {"asyncio": "pymongo"}
    settings = {"mode": "at_least_once", "commit_batch": 40, "readers": 1, "lanes": 4}
    kill = {"point": "advancing", "after": 100, "do": "kill"}
    start(topic, told | kill, **settings).wait_until_killed()

    second = start(topic, told, **settings)
    wait_until_done(database, produced)
    second.stop()

    seen = verdict(database, produced)
    assert seen.lost == 0
    assert seen.doubled <= 40


@pytest.mark.requirement("S3-11", "S3-13")
def test_partitions_that_move_between_readers_with_lanes_lose_and_double_nothing(
    start: Start, fill: Fill, topic_factory: TopicFactory, database: Database[Document]
) -> None:
    topic, told = topic_factory(partitions=4), {"asyncio": "pymongo", "slow": 0.005}
    # Those with threads and those with an event loop know each other's lanes.
    settled = while_another_comes_and_goes(start, fill, topic, database, told)
    assert settled.heard("revoked")
    assert settled.heard("restarted") == []


@pytest.mark.requirement("N1")
def test_a_zombie_with_lanes_is_fenced_in_all_of_them_and_lives_on(
    start: Start, fill: Fill, topic: str, database: Database[Document]
) -> None:
    produced, told = fill(topic, COUNT), {"asyncio": "pymongo"}
    stop = {"point": "advanced", "after": 60, "do": "stop"}
    zombie = start(topic, told | stop, lanes=4, readers=1, batch_size=10)
    zombie.wait_until_stopped("advanced")

    owner = start(topic, told, lanes=3, readers=1)
    wait_until_done(database, produced)
    zombie.resume()
    owner.stop()
    last = fill(topic, 40)
    wait_until_done(database, last)
    zombie.stop()

    seen = verdict(database, produced + last)
    assert (seen.lost, seen.doubled) == (0, 0)
    assert zombie.heard("restarted") == []


@pytest.mark.requirement("S3-14")
@pytest.mark.parametrize("name", ["Claim", "Handle", "Close"])
def test_cancelled_at_an_effect_on_real_servers_it_leaves_nothing_half_done(
    name: str,
    kafka_broker: KafkaBroker,
    topic: str,
    fill: Fill,
    store_url: str,
    database: Database[Document],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    produced = fill(topic, 60)
    cancelled_at(name, monkeypatch, count=1 if name == "Close" else 3)

    async def cancelled() -> None:
        store = AsyncMongoStore.connect(store_url)
        consumer = Effects(kafka_broker.bootstrap_servers, store, topics=[topic], **settings(3))
        enough = within(lambda seen: name == "Close" and seen.committed > 20)
        Cancelled.task = asyncio.create_task(consumer.run_until(enough))
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(60):
                await Cancelled.task
        left = [t.get_name() for t in asyncio.all_tasks() if "eoconsumer" in t.get_name()]
        assert left == []
        await store.close()

    def settings(lanes: int) -> dict[str, Any]:
        return {"group": topic, "lanes": lanes}

    asyncio.run(cancelled())
    monkeypatch.undo()
    rows = list(database["eoconsumer_offsets"].find({"_id.lane": {"$gt": 0}}))
    floor = database["eoconsumer_offsets"].find_one({"_id.lane": 0, "_id.partition": 0})
    assert {Lane.of_row(row["_id"]["lane"]).lanes for row in rows} <= {3}
    assert floor is not None
    assert {place for place in produced if place[1] < floor["next_offset"]} <= set(
        effects(database)
    )

    async def rest() -> None:
        store = AsyncMongoStore.connect(store_url)
        consumer = Effects(kafka_broker.bootstrap_servers, store, topics=[topic], **settings(2))
        end = {TopicPartition(topic, 0): 60}
        await consumer.run_until(within(lambda seen: dict(seen.positions) == end))
        await store.close()

    asyncio.run(rest())
    assert_each_once(database, produced)
