"""Lanes under kills, rebalances and zombies; and a number of lanes that changes meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from conftest import Start
from pymongo.database import Database
from trial import (
    EFFECTS,
    KEYS,
    Document,
    Fill,
    Place,
    effects,
    keys_out_of_order,
    verdict,
    wait_until_done,
)
from typer.testing import CliRunner
from worker import Worker

from eoconsumer.cli.app import app
from eoconsumer.core.lanes import Lane
from eoconsumer.servers import KafkaBroker
from eoconsumer.testing.plugin import TopicFactory

pytestmark = [pytest.mark.slow, pytest.mark.requirement("N2")]

COUNT = 240
#: Whole rounds of keys, and of four partitions: those that are produced next go on in their turn.
ROUNDS = 24 * KEYS


def assert_each_once(
    database: Database[Document], produced: Iterable[Place], partitions: int = 1
) -> None:
    """Each message has one effect, and those of a key are in its order."""
    seen = verdict(database, produced)
    assert (seen.lost, seen.doubled) == (0, 0)
    rows = database[EFFECTS].find().sort("handled_at")
    done = [(row["partition"], row["offset"]) for row in rows]
    assert keys_out_of_order(done, partitions) == {}


def while_another_comes_and_goes(
    start: Start, fill: Fill, topic: str, database: Database[Document], told: dict[str, Any]
) -> Worker:
    """Let a worker, which is ``told`` that, share four partitions for a while; return it."""
    produced = fill(topic, ROUNDS)
    settled = start(topic, told, lanes=3, readers=1, batch_size=20)
    settled.wait_for("settled")
    comes_and_goes = start(topic, {"slow": 0.005, "stay": 2.0}, lanes=2, readers=1, batch_size=20)
    comes_and_goes.wait_for("claimed")
    produced += fill(topic, ROUNDS)  # the first ones may all be done by now
    comes_and_goes.wait_for("handled")
    comes_and_goes.wait_for("revoked")
    wait_until_done(database, produced)
    comes_and_goes.stop()
    settled.stop()

    assert comes_and_goes.handled
    assert_each_once(database, produced, partitions=4)
    return settled


def numbers_of_lanes(database: Database[Document]) -> set[int]:
    """Return of which numbers of lanes there are rows."""
    rows = database["eoconsumer_offsets"].find({"_id.lane": {"$gt": 0}})
    return {Lane.of_row(row["_id"]["lane"]).lanes for row in rows}


@pytest.mark.requirement("S3-06", "S3-07", "S3-08")
@pytest.mark.parametrize(
    ("point", "before", "after"),
    [
        ("written", 4, 4),
        ("advanced", 4, 4),
        ("committed", 4, 4),
        ("advanced", 4, 3),
        ("written", 4, 0),
        ("committed", 4, 0),
        ("advanced", 0, 4),
    ],
)
def test_after_a_kill_each_message_is_there_once_and_its_key_in_order(
    point: str,
    before: int,
    after: int,
    start: Start,
    fill: Fill,
    topic: str,
    database: Database[Document],
) -> None:
    produced = fill(topic, COUNT)
    told = {"point": point, "after": 120, "do": "kill"}
    start(topic, told, lanes=before, batch_size=20, readers=1).wait_until_killed()

    second = start(topic, lanes=after, readers=1)
    wait_until_done(database, produced)
    second.stop()

    assert numbers_of_lanes(database) == {before, after} - {0}
    assert_each_once(database, produced)
    assert len(second.handled) < COUNT, "nothing was done before the kill"


def test_at_least_once_lanes_lose_nothing_by_a_kill(
    start: Start, fill: Fill, topic: str, database: Database[Document]
) -> None:
    produced = fill(topic, COUNT)
    settings = {"mode": "at_least_once", "commit_batch": 40, "readers": 1, "lanes": 4}
    told = {"point": "advancing", "after": 100, "do": "kill"}
    start(topic, told, **settings).wait_until_killed()

    second = start(topic, **settings)
    wait_until_done(database, produced)
    second.stop()

    seen = verdict(database, produced)
    assert seen.lost == 0
    assert seen.doubled <= 40


def test_at_most_once_lanes_double_nothing_by_a_kill(
    start: Start, fill: Fill, topic: str, database: Database[Document]
) -> None:
    produced = fill(topic, COUNT)
    settings = {"mode": "at_most_once", "commit_batch": 40, "readers": 1, "lanes": 4}
    told = {"point": "written", "after": 100, "do": "kill"}
    start(topic, told, **settings).wait_until_killed()

    second = start(topic, **settings)
    wait_until_done(database, produced)
    second.stop()

    seen = verdict(database, produced)
    assert seen.doubled == 0
    assert seen.lost <= 40


@pytest.mark.requirement("S3-11", "S3-13")
def test_partitions_that_move_between_readers_with_lanes_lose_and_double_nothing(
    start: Start, fill: Fill, topic_factory: TopicFactory, database: Database[Document]
) -> None:
    topic = topic_factory(partitions=4)
    while_another_comes_and_goes(start, fill, topic, database, {"slow": 0.005})


@pytest.mark.requirement("N1")
@pytest.mark.parametrize("point", ["written", "advanced"])
def test_a_zombie_with_lanes_is_fenced_in_all_of_them_and_lives_on(
    point: str, start: Start, fill: Fill, topic: str, database: Database[Document]
) -> None:
    produced = fill(topic, COUNT)
    told = {"point": point, "after": 60, "do": "stop"}
    zombie = start(topic, told, lanes=4, readers=1, batch_size=10)
    zombie.wait_until_stopped(point)

    owner = start(topic, lanes=3, readers=1)
    wait_until_done(database, produced)
    zombie.resume()
    owner.stop()
    last = fill(topic, 40)
    wait_until_done(database, last)
    zombie.stop()

    seen = verdict(database, produced + last)
    assert (seen.lost, seen.doubled) == (0, 0)
    assert zombie.heard("restarted") == []


@pytest.mark.requirement("N13")
def test_a_position_that_is_set_back_is_set_back_for_every_lane(
    start: Start,
    fill: Fill,
    topic: str,
    database: Database[Document],
    kafka_broker: KafkaBroker,
    store_url: str,
) -> None:
    produced = fill(topic, COUNT)
    told = {"point": "committed", "after": 120, "do": "kill"}
    start(topic, told, lanes=4, batch_size=20, readers=1).wait_until_killed()
    addresses = {
        "EOCONSUMER_BOOTSTRAP_SERVERS": kafka_broker.bootstrap_servers,
        "EOCONSUMER_STORE": store_url,
    }
    back = ["offsets", "reset", "--group", topic, "--topic", topic, "--to-earliest", "--fence"]
    done = CliRunner().invoke(app, [*back, "--execute"], env=addresses, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    before = effects(database)  # no lane of the first can commit any more
    assert before

    second = start(topic, lanes=4, readers=1)
    wait_until_done(database, produced)
    second.stop()

    assert effects(database) == before + Counter(produced)
