"""The two servers kept running in the background, for development on one's own machine.

A host process owns them and holds a lock on the state file for as long as it lives. So whether
they run is asked of the lock, never of a process id, which may belong to somebody else by now.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from eoconsumer.errors import ConfigurationError
from eoconsumer.servers.jars import cache_folder
from eoconsumer.servers.kafka import KafkaBroker
from eoconsumer.servers.mongo import MongoReplicaSet
from eoconsumer.servers.process import free_port, is_free

# The ports that everybody's examples use; where they are taken, others are.
KAFKA_PORT = 9092
MONGO_PORT = 27017
POLL_SECONDS = 0.05


@dataclasses.dataclass(frozen=True, slots=True)
class DevServers:
    """The running servers: where to connect, and the processes.

    ``host_pid`` is the process that owns the others; all are gone when it ends.
    """

    bootstrap_servers: str
    mongo_url: str
    host_pid: int
    kafka_pid: int
    mongo_pids: tuple[int, ...]


def status() -> DevServers | None:
    """Return the running servers, None when there are none (or they are still starting)."""
    try:
        with _state_file().open() as file:
            if _lock(file):
                return None
            state = json.load(file)
            return DevServers(**state | {"mongo_pids": tuple(state["mongo_pids"])})
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def up(timeout: float = 300.0) -> DevServers:
    """Start a broker and a one-node replica set that outlive this process; return where they are.

    Servers that run already are returned as they are. The data is temporary: it lives until
    :func:`down`. ``timeout`` (seconds) has room for the first download of Kafka's jars.

    Raises:
        ConfigurationError: when a server does not start; the message holds the end of the log.
    """
    log = _state_file().with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    if running := status():
        return running
    with log.open("wb") as output:
        host = subprocess.Popen(
            [sys.executable, "-m", "eoconsumer.servers.dev"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + timeout
    try:
        # Another `up` may have been first: then our host has ended, and the servers are its own.
        while (running := status()) is None:
            if host.poll() is not None or time.monotonic() > deadline:
                raise ConfigurationError(
                    f"The servers did not start; see {log}. It ends with:\n"
                    + log.read_text(errors="replace")[-2000:]
                )
            time.sleep(POLL_SECONDS)
    except BaseException:
        host.terminate()
        raise
    return running


def down(timeout: float = 30.0) -> bool:
    """Stop the servers and remove their data; return whether there were any.

    Raises:
        TimeoutError: when they are not gone after ``timeout`` seconds.
    """
    running = status()
    if running is None:
        return False
    os.kill(running.host_pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout
    while status() is not None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"Process {running.host_pid} did not stop within {timeout:g} s.")
        time.sleep(POLL_SECONDS)
    return True


def host() -> None:
    """Own the servers until SIGTERM, or until one of them ends: the body of the host process."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with _state_file().open("a+") as file:
        if not _lock(file, seconds=1.0):
            sys.exit("The servers run already.")
        file.truncate(0)
        with (
            KafkaBroker(port=_preferably(KAFKA_PORT)) as kafka,
            MongoReplicaSet(nodes=1, ports=(_preferably(MONGO_PORT),)) as mongo,
        ):
            servers = DevServers(
                kafka.bootstrap_servers,
                mongo.url,
                os.getpid(),
                kafka.pid,
                tuple(node.pid for node in mongo.nodes),
            )
            file.write(json.dumps(dataclasses.asdict(servers)))
            file.flush()
            while kafka.alive and all(node.alive for node in mongo.nodes):
                time.sleep(POLL_SECONDS)
            sys.exit("A server ended by itself; the other one was stopped.")


def _state_file() -> Path:
    return cache_folder() / "dev.json"


def _lock(file: IO[str], seconds: float = 0.0) -> bool:
    """Try to lock the state file; for a while, since readers hold it for a moment, too."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_SECONDS)
        else:
            return True


def _preferably(port: int) -> int:
    return port if is_free(port) else free_port()


if __name__ == "__main__":
    host()
