"""The benchmarks for real, with few messages: figures are there, and what was done was counted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psutil
import pytest
from own_broker import kafka_broker
from pymongo.database import Database
from trial import eventually
from typer.testing import CliRunner

from eoconsumer.cli.app import app
from eoconsumer.cli.bench.counting import miscounted
from eoconsumer.cli.bench.task import Task
from eoconsumer.servers import KafkaBroker, MongoReplicaSet
from eoconsumer.servers.process import free_port

__all__ = ["kafka_broker"]

BENCH = [sys.executable, "-c", "from eoconsumer.cli import main; main()", "bench"]
TIMEOUT = 300.0  # seconds; the machine may be busy


Run = Callable[[list[str]], tuple[int, str]]


def alone(arguments: list[str]) -> tuple[int, str]:
    """Run a benchmark as users do, on servers of its own; return exit code and output."""
    done = subprocess.run(
        [*BENCH, *arguments], capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def shared(
    kafka_broker: KafkaBroker, mongo_replica_set: MongoReplicaSet, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Run a benchmark on the servers that all tests share: to start others takes its time."""

    def run(arguments: list[str]) -> tuple[int, str]:
        running = nullcontext((kafka_broker, mongo_replica_set))
        monkeypatch.setattr("eoconsumer.cli.bench.stage.servers", lambda *_: running)
        monkeypatch.setattr(sys, "argv", ["eoconsumer", "bench", *arguments])  # the report has it
        done = CliRunner().invoke(app, ["bench", *arguments])
        return done.exit_code, f"{done.output}{done.exception or ''}"

    return run


def bench(run: Run, folder: Path, *arguments: str) -> dict[str, Any]:
    """Run a benchmark with all forms of output; return the figures."""
    paths = {form: folder / f"report.{form}" for form in ("json", "html", "markdown")}
    files = [word for form, path in paths.items() for word in (f"--{form}", str(path))]
    code, said = run([*arguments, *files])
    assert code == 0, said
    assert "\x1b" not in said
    figures: dict[str, Any] = json.loads(paths["json"].read_text())
    assert figures["command"] == " ".join(["eoconsumer", "bench", *arguments])
    assert "<svg" in paths["html"].read_text()
    assert figures["command"] in paths["markdown"].read_text()
    return figures


@pytest.mark.slow
def test_the_limit_has_figures_of_every_side_and_every_ratio(tmp_path: Path) -> None:
    size = ("--messages", "4000", "--pairs", "1", "--seconds", "1")
    figures = bench(
        alone, tmp_path, "limit", *size, "--only", "limit,writes,one-by-one,latency,memory"
    )
    expected = {"limit": 4_000, "writes": 4_000, "one-by-one": 100}
    assert list(figures["throughput"]) == list(expected)
    for name, (run,) in figures["throughput"].items():
        assert expected[name] <= run["messages"] <= expected[name] + 6
        assert run["seconds"] > 0
        assert run["memory"] > 10_000_000
        assert all(run["cpu"][who] > 0 for who in ("client", "kafka", "mongod"))
    ratios = [each["ratio"] for each in figures["ratios"]]
    assert ratios == ["writes / limit", "writes / one-by-one"]
    for (run,) in figures["latency"]["runs"].values():
        assert 0 < run["latency"]["p50"] <= run["latency"]["p99.9"]
    assert figures["memory"]["runs"][0]["messages"] == 12_000


DRIVER = """
import time
from eoconsumer.cli.bench.process import Side
from eoconsumer.cli.bench.task import Task

side = Side(Task("memory", "127.0.0.1:{port}", "memory://", "t", 1, 1, "g"))
side.wait_until_up()
side.go()
print(side.pid, flush=True)
time.sleep(100)
"""


def test_a_side_ends_with_its_driver_however_that_died() -> None:
    program = DRIVER.format(port=free_port())  # nobody listens there, so the side goes on trying
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as driver:
        assert driver.stdout is not None
        side = psutil.Process(int(driver.stdout.readline()))
        assert side.is_running()
        driver.kill()
    gone = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    # Sooner than it gives up the broker by itself.
    eventually(lambda: not side.is_running() or side.status() in gone, seconds=5)


def test_a_side_that_lost_or_doubled_a_message_is_found_out(database: Database[Any]) -> None:
    task = Task("limit", "", "", "", partitions=2, messages=5, group="")
    database["positions"].insert_many([{"_id": 0, "next_offset": 3}, {"_id": 1, "next_offset": 2}])
    ledger = database["ledger"]
    ledger.insert_many([{"n": n} for n in range(5)])
    assert miscounted(database, task) is None
    ledger.insert_one({"n": 2})
    assert "3 messages are there in 4 documents" in (miscounted(database, task) or "")
    ledger.delete_many({"n": 2})
    assert "2 messages are there in 2 documents" in (miscounted(database, task) or "")
    ledger.insert_one({"n": 6})
    assert "up to offset 3" in (miscounted(database, task) or "")
    database["positions"].delete_many({})
    ledger.delete_many({})
    assert miscounted(database, task) == "0 messages were committed, not 5"


@pytest.mark.slow
@pytest.mark.requirement("S3-26")
def test_the_modes_have_figures_with_and_without_kills(shared: Run, tmp_path: Path) -> None:
    only = ("at-least-once", "exactly-once-writes")
    size = ("--documents", "400", "--rounds", "1", "--rates", "50", "--seconds", "2")
    figures = bench(shared, tmp_path, "modes", "--only", ",".join(only), *size)
    killed = figures["kills"]
    assert [killed[name]["kills"] for name in only] == [3, 3]
    assert [killed[name]["applied"] for name in only] == [400, 400]
    assert killed["at-least-once"]["duplicated"] > 0
    assert killed["exactly-once-writes"]["duplicated"] == 0
    for name in only:
        (run,) = figures["load"][name]
        assert run["messages"] == 400
        assert run["commits"] > 0
        assert (run["transactions"] > 0) is (name == "exactly-once-writes")
        assert (run["counted"]["lost"], run["counted"]["duplicated"]) == (0, 0)
        timed = figures["latency"][name]["50"]
        assert 0 < timed["latency"]["p50"] <= timed["latency"]["max"]
        assert timed["counted"]["applied"] == 100


@pytest.mark.slow
def test_the_scale_has_figures_at_every_place_and_several_workers_share_the_work(
    shared: Run, tmp_path: Path
) -> None:
    places = ("--workers", "2", "--size", "10000")
    only = ("--only", "workers,size")
    size = ("--messages", "2000", "--rounds", "1")
    figures = bench(shared, tmp_path, "scale", *only, *places, *size)
    for axis, place, messages in (("workers", "2", 2_000), ("size", "10000", 200)):
        (run,) = figures[axis][place]
        assert run["messages"] == messages
        assert run["seconds"] > 0
