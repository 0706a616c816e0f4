"""No server outlives what started it, however that ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pymongo import MongoClient
from trial import eventually

from eoconsumer.errors import ConfigurationError
from eoconsumer.servers import MongoNode, MongoReplicaSet, dev, jars

pytestmark = pytest.mark.slow


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Nobody may be there to collect an orphan; such a zombie does not run any more.
    state = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True)
    return not state.stdout.startswith("Z")


# Nothing stays behind

PARENT = """
import os, signal, sys, time

# A shell starts its background jobs with SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from eoconsumer.servers import KafkaBroker, MongoNode

servers = [MongoNode(), MongoNode()]
if {with_kafka}:
    servers.append(KafkaBroker())
for server in servers:
    server.start()
print(*(f"{{server.pid}} {{server.folder}}" for server in servers), flush=True)
{then}
"""


@pytest.fixture
def parent() -> Iterator[Callable[..., tuple[subprocess.Popen[str], list[int], list[Path]]]]:
    started = []

    def start(
        then: str = "time.sleep(600)", with_kafka: bool = False
    ) -> tuple[subprocess.Popen[str], list[int], list[Path]]:
        process = subprocess.Popen(
            [sys.executable, "-c", PARENT.format(then=then, with_kafka=with_kafka)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout is not None
        words = process.stdout.readline().split()
        pids, folders = [int(pid) for pid in words[::2]], [Path(path) for path in words[1::2]]
        assert pids
        return process, pids, folders

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its forked children, too
        process.communicate()


def all_gone(pids: list[int], folders: list[Path]) -> bool:
    return not any(map(is_running, pids)) and not any(folder.exists() for folder in folders)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_server_outlives_a_parent_that_a_signal_ends(parent, how: signal.Signals) -> None:
    process, pids, folders = parent()
    os.killpg(process.pid, how)  # as a terminal's Ctrl-C does: to the whole process group
    eventually(lambda: all_gone(pids, folders))


def test_a_broker_does_not_outlive_a_killed_parent(parent) -> None:
    process, pids, folders = parent(with_kafka=True)
    process.kill()
    eventually(lambda: all_gone(pids, folders))


@pytest.mark.parametrize("then", ["sys.exit(3)", "raise ValueError", "os._exit(0)"])
def test_no_server_outlives_a_parent_that_ends_without_stopping_it(parent, then: str) -> None:
    _, pids, folders = parent(then)
    eventually(lambda: all_gone(pids, folders))


def test_no_server_outlives_a_killed_parent_whose_forked_child_lives_on(parent) -> None:
    process, pids, folders = parent("os.fork(); time.sleep(600)")
    process.kill()
    eventually(lambda: all_gone(pids, folders))


def test_a_forked_child_that_ends_leaves_the_servers_to_its_parent(parent) -> None:
    process, pids, _ = parent(
        "pid = os.fork()\nif pid: os.waitpid(pid, 0); print('went', flush=True); time.sleep(600)"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "went\n"
    assert all(map(is_running, pids))


def test_a_server_outlives_the_thread_that_started_it() -> None:
    with MongoNode() as warm_up, MongoNode() as node:
        node.kill()
        thread = threading.Thread(target=node.start)
        thread.start()
        thread.join()
        # A full start of another server is time enough for a signal that comes at a thread's end.
        warm_up.restart()
        assert is_running(node.pid)


def test_a_stopped_server_leaves_no_process_and_no_file() -> None:
    with MongoReplicaSet(nodes=1) as mongo:
        (node,) = mongo.nodes
        pid, folder = node.pid, node.folder
    assert all_gone([pid], [folder])


def test_a_server_that_was_killed_by_somebody_else_is_known_to_be_gone() -> None:
    with MongoNode() as node:
        os.kill(node.pid, signal.SIGKILL)
        eventually(lambda: not node.alive)
        with pytest.raises(RuntimeError, match="not running"):
            node.pause()


# Servers for development


@pytest.fixture
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    (tmp_path / jars.kafka_jars().name).symlink_to(jars.kafka_jars())
    monkeypatch.setenv("EOCONSUMER_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("own_cache")
def test_development_servers_outlive_the_command_and_go_down_when_told() -> None:
    command = [sys.executable, "-c", "from eoconsumer.servers import dev; dev.up()"]
    subprocess.run(command, check=True)
    servers = dev.status()
    assert servers is not None
    try:
        assert dev.up() == servers
        with MongoClient(servers.mongo_url) as client:
            assert client.shop.items.insert_one({}).acknowledged
    finally:
        assert dev.down()
    assert dev.status() is None
    assert not dev.down()
    assert not any(map(is_running, [servers.kafka_pid, *servers.mongo_pids]))


@pytest.mark.usefixtures("own_cache")
def test_development_servers_that_do_not_start_show_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EOCONSUMER_MONGOD", shutil.which("false") or "")
    with pytest.raises(ConfigurationError, match="ended while it was starting"):
        dev.up()
    assert dev.status() is None


def test_a_process_that_got_the_number_of_an_old_host_is_never_killed(own_cache: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as stranger:
        (own_cache / "dev.json").write_text(
            '{"bootstrap_servers": "", "mongo_url": "", "kafka_pid": 0, "mongo_pids": [],'
            f' "host_pid": {stranger.pid}}}'
        )
        assert dev.status() is None
        assert not dev.down()
        assert stranger.poll() is None
        stranger.kill()
