"""`eoconsumer offsets`: positions are shown, moved, written to a file and read from one."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from consuming import running, send
from counting import Runs
from pymongo.database import Database
from trial import (
    DEADLINE,
    PATIENT,
    QUICK_848,
    Document,
    Fill,
    effects,
    eventually,
    group_tool,
    positions,
    wait_until_done,
)
from typer.testing import CliRunner

from eoconsumer.cli.app import app
from eoconsumer.core.modes import Mode
from eoconsumer.kafka import GroupAdmin, client_settings
from eoconsumer.servers import KafkaBroker
from eoconsumer.stores.mongo import MongoStore

pytestmark = [pytest.mark.slow, pytest.mark.requirement("N13")]


class Offsets:
    """The command for the group of a topic, which has the topic's name, and what it changed."""

    def __init__(self, bootstrap: str, url: str, topic: str, database: Database[Document]) -> None:
        self.bootstrap, self.url, self.topic, self.database = bootstrap, url, topic, database
        self._kafka = GroupAdmin(client_settings(bootstrap, topic, Mode.EXACTLY_ONCE, {}))

    def __call__(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        """Return what it prints, and what it complains of."""
        addresses = {"EOCONSUMER_BOOTSTRAP_SERVERS": self.bootstrap, "EOCONSUMER_STORE": self.url}
        command = ["offsets", *arguments, "--group", self.topic]
        done = CliRunner().invoke(app, command, env=addresses, catch_exceptions=False)
        assert done.exit_code == code, done.output
        return done.stdout, done.stderr

    @property
    def rows(self) -> dict[int, Document]:
        found = self.database["eoconsumer_offsets"].find({"_id.partition": {"$exists": True}})
        return {row["_id"]["partition"]: row for row in found}

    @property
    def stored(self) -> dict[int, int]:
        return positions(self.database)

    @property
    def committed(self) -> dict[int, int]:
        return {key.partition: offset for key, offset in self._kafka.committed().items()}


@pytest.fixture
def offsets(
    kafka_broker: KafkaBroker, store_url: str, topic: str, database: Database[Document]
) -> Offsets:
    return Offsets(kafka_broker.bootstrap_servers, store_url, topic, database)


def consumer(offsets: Offsets, store: MongoStore, **settings: Any) -> Runs:
    return Runs(offsets.bootstrap, store, offsets.topic, **settings)


@pytest.fixture
def consumed(offsets: Offsets, store: MongoStore, fill: Fill) -> Offsets:
    """Ten messages, all handled, and nobody at work."""
    consumer(offsets, store).run_to_the_end(fill(offsets.topic, 10))
    return offsets


def test_the_list_shows_position_end_lag_epoch_owner_and_kafkas_offset(consumed: Offsets) -> None:
    send(consumed.bootstrap, consumed.topic, b"x", b"x")
    epoch = consumed.rows[0]["epoch"]

    table, _ = consumed("list")
    told = json.loads(consumed("list", "--json")[0])

    assert told == {
        "group": consumed.topic,
        "members": 0,
        "partitions": [
            {
                "topic": consumed.topic,
                "partition": 0,
                "position": 10,
                "handed_over": False,
                "epoch": epoch,
                "owner": None,
                "log_start": 0,
                "log_end": 12,
                "lag": 2,
                "committed_in_kafka": 10,
            }
        ],
    }
    line = table.splitlines()[-1].split()
    assert line == [consumed.topic, "0", "10", "12", "2", "10", str(epoch), "-"]


def test_nothing_is_changed_without_execute(consumed: Offsets) -> None:
    before = consumed.rows

    out, _ = consumed("reset", "--all-topics", "--to-earliest")

    assert out.splitlines()[1].split() == [consumed.topic, "0", "10", "0"]
    assert "nothing was changed" in out
    assert (consumed.rows, consumed.committed) == (before, {0: 10})


@pytest.mark.parametrize("topic", [2], indirect=True)
def test_a_position_is_moved_under_a_new_epoch_released_shown_to_kafka_and_used(
    consumed: Offsets, store: MongoStore
) -> None:
    before = consumed.rows

    consumed("reset", "--topic", f"{consumed.topic}:1", "--shift-by", "-4", "--execute")

    assert consumed.stored == consumed.committed == {0: 5, 1: 1}
    moved, left = consumed.rows[1], consumed.rows[0]
    assert left == before[0]
    assert moved["epoch"] == before[1]["epoch"] + 1
    assert not {"owner", "lsid"} & moved.keys()
    for name in ("topic_id", "cluster_id", "leader_epoch"):
        assert moved[name] == left[name] is not None, name
    consumer(consumed, store).run_to_the_end([(0, 4), (1, 4)])
    twice = {place for place, times in effects(consumed.database).items() if times == 2}
    assert twice == {(1, 1), (1, 2), (1, 3), (1, 4)}


@pytest.mark.parametrize("topic", [2], indirect=True)
def test_a_group_that_was_never_there_gets_its_positions_and_starts_from_them(
    offsets: Offsets, store: MongoStore, fill: Fill
) -> None:
    fill(offsets.topic, 10)

    offsets("reset", "--topic", offsets.topic, "--to-offset", "3", "--execute")

    assert offsets.stored == offsets.committed == {0: 3, 1: 3}
    assert all(row["topic_id"] and row["leader_epoch"] == 0 for row in offsets.rows.values())
    consumer(offsets, store, start="latest").run_to_the_end([(0, 4), (1, 4)])
    assert sorted(effects(offsets.database)) == [(0, 3), (0, 4), (1, 3), (1, 4)]


def test_an_offset_behind_the_end_becomes_the_end_with_a_warning(
    offsets: Offsets, fill: Fill
) -> None:
    fill(offsets.topic, 10)

    _, complaint = offsets("reset", "--topic", offsets.topic, "--to-offset", "500", "--execute")

    assert "500 lies outside the log, which has 0 to 10; 10 is taken" in complaint
    assert offsets.stored == {0: 10}


def test_a_moment_and_a_duration_stand_for_the_first_message_from_then_on(
    offsets: Offsets,
) -> None:
    now = int(time.time())
    producer = Producer({"bootstrap.servers": offsets.bootstrap})
    for hours in (30, 20, 10):
        moment = (now - hours * 3600) * 1000
        producer.produce(offsets.topic, b"x", partition=0, timestamp=moment)
    assert producer.flush(DEADLINE) == 0
    iso = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now - 20 * 3600))

    for words, wanted in {
        ("--by-duration", "PT15H"): 2,
        ("--to-datetime", f"{iso}.000"): 1,
        ("--to-datetime", f"{iso}.001"): 2,
        ("--to-datetime", "2999-01-01T00:00:00"): 3,
        ("--to-earliest",): 0,
        ("--to-latest",): 3,
    }.items():
        offsets("reset", "--topic", offsets.topic, *words, "--execute")
        assert offsets.stored == {0: wanted}, words


@pytest.mark.parametrize("protocol", [PATIENT, QUICK_848], ids=["classic", "consumer"])
def test_a_live_group_is_refused_unless_it_is_fenced_and_then_goes_on_from_the_new_position(
    consumed: Offsets, store: MongoStore, protocol: dict[str, Any]
) -> None:
    reset = ("reset", "--all-topics", "--to-offset", "7", "--execute")
    with running(consumer(consumed, store, kafka=protocol, readers=1)) as live:
        eventually(lambda: live.snapshot().claims)
        before = consumed.rows

        _, complaint = consumed(*reset, code=1)

        assert "is live: it has 1 members; nothing was changed" in complaint
        assert consumed.rows == before
        consumed(*reset, "--fence")
        wait_until_done(consumed.database, [(0, 9)])  # also by a consumer that has nothing to do
        send(consumed.bootstrap, consumed.topic, b"x")
        wait_until_done(consumed.database, [(0, 10)])
    assert effects(consumed.database) == {(0, n): 2 if n in (7, 8, 9) else 1 for n in range(11)}


def test_positions_in_kafka_are_not_moved_while_the_group_is_live_even_with_fence(
    offsets: Offsets, store: MongoStore, fill: Fill
) -> None:
    fill(offsets.topic, 5)
    settings = {"mode": "at_least_once", "positions": "kafka", "commit_interval": 0.0}
    reset = ("reset", "--all-topics", "--to-earliest", "--execute", "--fence")
    with running(consumer(offsets, store, **settings)):
        eventually(lambda: offsets.committed, lambda seen: seen == {0: 5})
        _, complaint = offsets(*reset, code=1)
        assert "where nothing fences a consumer; nothing was changed" in complaint
    assert json.loads(offsets("list", "--json")[0])["partitions"][0]["position"] == 5

    offsets(*reset)

    assert (offsets.stored, offsets.committed) == ({0: 0}, {0: 0})
    assert not offsets.rows[0]["handed_over"]


@pytest.mark.parametrize("topic", [2], indirect=True)
def test_files_are_exchanged_with_kafkas_own_tool(
    consumed: Offsets, kafka_broker: KafkaBroker, tmp_path: Path
) -> None:
    reset = ("--group", consumed.topic, "--reset-offsets")
    file = tmp_path / "positions.csv"
    how = ("--all-topics", "--shift-by", "-2", "--dry-run", "--export")
    theirs = group_tool(kafka_broker, *reset, *how)
    file.write_text(theirs)

    consumed("import", "--from-file", str(file), "--execute")

    assert consumed.stored == consumed.committed == {0: 3, 1: 3}
    file.write_text(consumed("export")[0])
    assert file.read_text() == f"{consumed.topic},0,3\n{consumed.topic},1,3\n"
    consumed("reset", "--all-topics", "--to-earliest", "--execute")
    group_tool(kafka_broker, *reset, "--from-file", str(file), "--execute")
    assert consumed.committed == {0: 3, 1: 3}


def test_what_cannot_be_meant_is_refused_with_code_78(offsets: Offsets, tmp_path: Path) -> None:
    file = tmp_path / "positions.csv"
    file.write_text(f"{offsets.topic},7,0\n")
    topic = ("--topic", offsets.topic)
    for arguments, complaint in {
        ("reset", *topic): "Where to?",
        ("reset", *topic, "--to-earliest", "--to-latest"): "Where to?",
        ("reset", "--to-earliest"): "Which partitions?",
        ("reset", *topic, "--from-file", str(file)): "Which partitions?",
        ("reset", *topic, "--shift-by", "1"): "has no position",
        ("reset", "--topic", "nowhere", "--to-latest"): "has 0 partitions here",
        ("reset", "--topic", f"{offsets.topic}:0,1", "--to-latest"): "has 1 partitions here",
        ("list", "--topic", f"{offsets.topic}:one"): "is neither TOPIC nor TOPIC:0,1,2",
        ("import", "--from-file", str(file)): "has 1 partitions here",
        ("reset", "--all-topics", "--to-earliest", "--execute"): "has no position here",
    }.items():
        assert complaint in offsets(*arguments, code=78)[1], arguments
    assert offsets.rows == {}
