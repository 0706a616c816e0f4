"""`eoconsumer run` on a real broker and a real replica set."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import TIMEOUT, Shop
from pymongo.database import Database
from trial import Document, Fill, effects, eventually

from eoconsumer.servers import KafkaBroker, MongoNode
from eoconsumer.testing.plugin import TopicFactory

pytestmark = pytest.mark.slow

PARTITIONS = 4


@pytest.fixture
def busy_topic(topic_factory: TopicFactory) -> str:
    return topic_factory(PARTITIONS)


@pytest.fixture
def shop(tmp_path: Path, kafka_broker: KafkaBroker, store_url: str, busy_topic: str) -> Shop:
    return Shop(tmp_path, kafka_broker.bootstrap_servers, store_url, busy_topic)


@contextmanager
def running(shop: Shop, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    with shop.start("run", *arguments) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str], number: signal.Signals | None = None) -> tuple[int, str]:
    """Send a signal, if there is one; wait for the end; return exit code and complaint."""
    if number is not None:
        process.send_signal(number)
    complaint = process.communicate(timeout=TIMEOUT)[1]
    assert "Traceback" not in complaint
    return process.returncode, complaint


def children(process: subprocess.Popen[str]) -> list[int]:
    """The worker processes (and no helper of the interpreter's)."""
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [
        pid for pid in map(int, found) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


@pytest.mark.parametrize(
    ("target", "number"),
    [
        ("shop:Ledger", signal.SIGTERM),
        ("shop:Ledger", signal.SIGINT),
        ("shop:AsyncLedger", signal.SIGTERM),
        ("shop:made", signal.SIGINT),
    ],
)
def test_a_signal_lets_it_finish_what_it_has_in_hand_and_exit_0(
    shop: Shop,
    fill: Fill,
    busy_topic: str,
    database: Database[Document],
    target: str,
    number: signal.Signals,
) -> None:
    places = fill(busy_topic, 2_000)
    with running(shop, target) as process:
        eventually(lambda: effects(database))
        assert ended(process, number)[0] == 0
    places += fill(busy_topic, 100)  # the first process may have done all that was there
    with running(shop, target) as process:
        eventually(lambda: effects(database), lambda seen: len(seen) == len(places))
        assert ended(process, number)[0] == 0
    assert sorted(effects(database).elements()) == sorted(places)


@pytest.mark.requirement("S3-13")
@pytest.mark.parametrize("target", ["shop:Ledger", "shop:AsyncLedger"])
def test_workers_share_the_partitions_and_do_nothing_twice(
    shop: Shop, fill: Fill, busy_topic: str, database: Database[Document], target: str
) -> None:
    places = fill(busy_topic, 1_000)
    with running(shop, target, "--workers", "2") as process:
        eventually(lambda: effects(database), lambda seen: len(seen) >= len(places))
        owners = eventually(
            lambda: {row["owner"].split(":")[1] for row in rows(database) if row.get("owner")},
            lambda seen: len(seen) == 2,
        )
        assert sorted(map(int, owners)) == sorted(children(process))
        places += fill(busy_topic, 1_000)
        eventually(lambda: effects(database), lambda seen: len(seen) >= 2_000)
        assert ended(process, signal.SIGTERM)[0] == 0
    assert set(effects(database).values()) == {1}
    assert len(effects(database)) == 2_000


def rows(database: Database[Document]) -> list[Document]:
    return list(database["eoconsumer_offsets"].find({"next_offset": {"$exists": True}}))


def test_a_worker_that_is_killed_ends_the_others_and_the_exit_code_tells(
    shop: Shop, fill: Fill, busy_topic: str, database: Database[Document]
) -> None:
    fill(busy_topic, 100)
    with running(shop, "shop:Ledger", "--workers", "2") as process:
        eventually(lambda: effects(database), lambda seen: len(seen) == 100)
        first, second = children(process)
        os.kill(first, signal.SIGKILL)
        code, complaint = ended(process)
    assert code == 1
    assert "worker-1: it ended with SIGKILL; the other workers are stopped" in complaint
    assert not Path(f"/proc/{second}").exists()


def test_workers_drain_and_end_when_their_parent_is_killed(
    shop: Shop, fill: Fill, busy_topic: str, database: Database[Document]
) -> None:
    fill(busy_topic, 100)
    with running(shop, "shop:Ledger", "--workers", "2") as process:
        eventually(lambda: effects(database), lambda seen: len(seen) == 100)
        workers = children(process)
        assert len(workers) == 2
        process.kill()
        eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


@pytest.mark.parametrize(
    ("target", "workers"),
    [("shop:Failing", "1"), ("shop:Failing", "2"), ("shop:AsyncFailing", "1")],
)
def test_a_message_that_fails_for_good_ends_it_with_1_and_the_cause(
    shop: Shop, fill: Fill, busy_topic: str, target: str, workers: str
) -> None:
    fill(busy_topic, 100)
    code, _, complaint = shop.call("run", target, "--workers", workers)
    assert code == 1
    told = [line for line in complaint.splitlines() if line.startswith("eoconsumer: ")]
    assert len(told) == 1
    assert re.search(r"The handler failed for .*ValueError: no coffee", told[0])


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_signal_after_the_work_leaves_the_exit_code_and_the_clean_up_alone(
    shop: Shop, fill: Fill, busy_topic: str, workers: str
) -> None:
    with (shop.folder / "shop.py").open("a") as module:
        module.write(
            "import atexit, signal\natexit.register(signal.raise_signal, signal.SIGTERM)\n"
        )
    fill(busy_topic, 100)
    code, _, complaint = shop.call("run", "shop:Failing", "--workers", workers)
    assert code == 1
    assert "no coffee" in complaint


def test_a_signal_before_the_work_ends_it_even_where_an_exception_would_be_lost(shop: Shop) -> None:
    with (shop.folder / "shop.py").open("a") as module:
        module.write(
            "import signal\n"
            "class Gone:\n"
            "    def __del__(self): signal.raise_signal(signal.SIGTERM)\n"
            "Gone()\n"
        )
    assert shop.call("run", "shop:Ledger") == (0, "", "")


@pytest.mark.requirement("S3-20")
@pytest.mark.parametrize("command", ["run", "doctor", "setup"])
def test_a_standalone_mongod_is_refused_with_what_to_do(shop: Shop, command: str) -> None:
    with MongoNode(replica_set=None) as standalone:
        url = f"mongodb://127.0.0.1:{standalone.port}/shop"
        target = () if command == "setup" else ("shop:Ledger",)
        code, out, complaint = shop.call(command, *target, "--store", url)
    assert code == 78
    assert "standalone, not a replica set" in out + complaint
    assert "--replSet" in out + complaint


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_missing_topic_is_told_once(
    tmp_path: Path, kafka_broker: KafkaBroker, store_url: str, workers: str
) -> None:
    shop = Shop(tmp_path, kafka_broker.bootstrap_servers, store_url, "nowhere")
    code, _, complaint = shop.call("run", "shop:Ledger", "--workers", workers)
    assert code == 78
    assert complaint.count("The topic 'nowhere' does not exist") == 1


def test_no_broker_is_told(shop: Shop) -> None:
    code, _, complaint = shop.call("run", "shop:Ledger", "-b", "127.0.0.1:1")
    assert code == 78
    assert "No broker answered at 127.0.0.1:1" in complaint
