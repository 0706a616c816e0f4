"""A small run on servers that are there already: a topic, a database, workers, and the journals.

Several may be on at the same time. The evidence is that of a chaos run, for the same checker.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bson import Binary, Int64
from confluent_kafka import Message as KafkaMessage
from confluent_kafka import Producer
from pymongo import MongoClient
from pymongo.write_concern import WriteConcern

from eoconsumer.servers import KafkaBroker, MongoReplicaSet
from tests.chaos.checker.evidence import Evidence, lines
from tests.chaos.checker.servers import read_database, read_topic
from tests.chaos.crew import Member
from tests.chaos.journal import Journal
from tests.chaos.nemesis.workers import settings_for
from tests.chaos.observer import EFFECTS, LETTERS, OFFSETS, Changes, Snapshots

BATCH = 20  # messages
STOCK = 1000
DEADLINE = 60.0  # seconds; the machine may be busy
#: The server knows one ``failCommand`` at a time.
_ONE_FAIL_POINT = threading.Lock()
Document = dict[str, Any]


class Stage:
    """One topic and one database of the name ``name``, watched while the scene is played."""

    def __init__(
        self,
        kafka: KafkaBroker,
        mongo: MongoReplicaSet,
        folder: Path,
        name: str,
        *,
        mode: str = "exactly_once",
        mutant: str | None = None,
        patience: float = DEADLINE,
    ) -> None:
        self.name, self.mode, self.mutant = name, mode, mutant
        self._patience = patience
        self._kafka, self._mongo, self._folder = kafka, mongo, folder
        folder.mkdir(parents=True)
        names = ("feed", "snapshots", "changes", "faults")
        self._journals = {name: Journal(folder / f"{name}.jsonl") for name in names}
        self.client = MongoClient[Document](mongo.url)
        self.database = self.client[name]
        self.changes = Changes(mongo.url, name, self._journals["changes"])
        self._snapshots = Snapshots(mongo.url, name, self._journals["snapshots"])
        self._members: list[Member] = []
        self._places: list[tuple[str, int]] = []
        self._accounts: list[str] = []
        self._fed, self._since = 0, 0.0
        self._planned: list[str] = []

    @contextmanager
    def set_up(self, partitions: int) -> Iterator[Stage]:
        """Make what is needed, look on, and end everything afterwards."""
        self._kafka.create_topic(self.name, partitions)
        self._places = [(self.name, partition) for partition in range(partitions)]
        self._accounts = [f"{side}-{n}" for side in ("source", "target") for n in range(partitions)]
        for collection in (OFFSETS, EFFECTS, LETTERS, "counters", "stock"):
            self.database.create_collection(collection)
        self._begin()
        self.changes.start()
        self._snapshots.start()
        try:
            yield self
        finally:
            for member in self._members:
                member.signal(9)
                member.wait_until_gone(DEADLINE)
                member.close()
            self._snapshots.stop()
            self.changes.stop()
            for journal in self._journals.values():
                journal.close()
            self.client.close()

    def _begin(self) -> None:
        """Let everything be as before the first message, but for the positions."""
        majority = WriteConcern("majority")
        for name in (EFFECTS, "counters", "stock"):
            self.database.get_collection(name, write_concern=majority).delete_many({})
        stock = self.database.get_collection("stock", write_concern=majority)
        stock.insert_many([{"_id": account, "stock": STOCK} for account in self._accounts])
        self._since, self._fed = time.monotonic(), 0

    # --- what a scene does ------------------------------------------------------------------

    def feed(self, count: int) -> None:
        """Produce so many messages to each partition."""
        producer = Producer({"bootstrap.servers": self._kafka.bootstrap_servers, "linger.ms": 5})

        def delivered(error: Any, message: KafkaMessage) -> None:
            assert error is None, error
            where = {"partition": message.partition(), "offset": message.offset()}
            self._journals["feed"].write("produced", **where)

        for seq in range(self._fed + 1, self._fed + count + 1):
            for topic, n in self._places:
                accounts = {"source": f"source-{n}", "target": f"target-{n}"}
                value = json.dumps({"seq": seq, "quantity": 1, **accounts}).encode()
                producer.produce(topic, value, f"key-{n}".encode(), n, on_delivery=delivered)
        assert producer.flush(DEADLINE) == 0, "the broker did not take all messages"
        self._fed += count

    def worker(self, *, point: str = "", do: str = "", **told: Any) -> Member:
        """Start a worker, which stops or kills itself at ``point``."""
        slot = len(self._members)
        settings = {
            "topics": self.name,
            "group": self.name,
            "mode": self.mode,
            "readers": 1,
            "batch_size": BATCH,
            "commit_batch": BATCH,
            "kafka": settings_for("cooperative-sticky"),
        }
        store = f"{self._mongo.url_for(self.name)}&appName={self.app_name(slot)}"
        servers = {"bootstrap": self._kafka.bootstrap_servers, "store": store, "proxies": {}}
        known = {"form": "runs", "mutant": self.mutant, "settings": settings}
        member = Member(slot, self._folder, {**servers, **known, **told})
        if point:
            member.tell(arm=point, do=do)
        self._members.append(member)
        return member

    def app_name(self, slot: int) -> str:
        """Return what MongoDB knows a worker by."""
        return f"{self.name}-{slot}"

    @contextmanager
    def failing(self, command: str, mode: Any, slot: int = 0, **how: Any) -> Iterator[None]:
        """Let a command of one worker fail, until the block is left."""

        def configure(mode: Any, data: Document) -> None:
            self.client.admin.command(
                {"configureFailPoint": "failCommand", "mode": mode, "data": data}
            )

        data = {"failCommands": [command], "appName": self.app_name(slot), **how}
        with _ONE_FAIL_POINT:
            configure(mode, data)
            try:
                yield
            finally:
                configure("off", {})

    def commit_in_the_name_of(self, member: Member) -> None:
        """Let the commit of a worker land of which it has given up to hear."""
        app = self.app_name(self._members.index(member))
        idle = {"$currentOp": {"allUsers": True, "idleSessions": True}}
        mine = {"$match": {"transaction.parameters.txnNumber": {"$exists": True}}}
        (found,) = [
            op
            for op in self.client.admin.aggregate([idle, mine])
            if app in (op.get("appName"), op.get("clientMetadata", {}).get("application"))
        ] or [None]
        assert found is not None, "the worker has no open transaction"
        with self.client.start_session() as session:
            self.client.admin.command("ping", session=session)
            session._server_session.session_id = {"id": Binary(bytes(found["lsid"]["id"]), 4)}
            number = Int64(found["transaction"]["parameters"]["txnNumber"])
            self.client.admin.command(
                {"commitTransaction": 1, "txnNumber": number, "autocommit": False},
                session=session,
            )

    def recreate_topic(self) -> None:
        """Delete the topic, and create it again; what was done of its former life is put away."""
        self._kafka.delete_topic(self.name)
        self._kafka.create_topic(self.name, len(self._places))
        self._begin()

    def forget_positions(self) -> None:
        """Let the group start anew; what was seen until now is of no interest."""
        rows = self.database.get_collection(OFFSETS, write_concern=WriteConcern("majority"))
        rows.delete_many({})
        self.wait(lambda: any(change["said"] == "delete" for change in self._told("changes")))
        self._since = time.monotonic()

    def _told(self, name: str) -> list[Document]:
        """Return the lines of a journal since the scene began."""
        told = lines([self._folder / f"{name}.jsonl"])
        return [line for line in told if line["at"] > self._since]

    def recovers(self, kind: str, since: float) -> None:
        """Note a fault after which all partitions have to move."""
        self._planned.append(kind)
        details = {"number": len(self._planned), "kind": kind, "begun": since, "took": True}
        self._journals["faults"].write("end", since=since, places=None, note="", **details)

    def wait(self, wanted: Callable[[], object], seconds: float = DEADLINE) -> None:
        """Wait until ``wanted()`` is true."""
        assert eventually(wanted, seconds), f"not within {seconds} s, in {self._folder}"

    def drain(self) -> None:
        """Wait until every position stands behind what was produced; the checker sees if not.

        What a mutant is given counts from the moment in which the workers have their partitions: a
        busy machine may take longer to start them.
        """
        self.wait(lambda: all(member.heard("claimed") for member in self._members if member.alive))
        eventually(lambda: set(self.positions().values()) == {self._fed}, self._patience)

    def positions(self) -> dict[int, int]:
        """Return the stored position of each partition; 0 where there is none."""
        rows = self.database[OFFSETS].find({"_id.partition": {"$exists": True}})
        stored = {row["_id"]["partition"]: row["next_offset"] for row in rows}
        return {partition: stored.get(partition, 0) for _, partition in self._places}

    def evidence(self) -> Evidence:
        """Return all that the checker looks at; the stage is over."""
        snapshots = [line for line in self._told("snapshots") if line["said"] == "snapshot"]
        return Evidence(
            mode=self.mode,
            visible=read_topic(self._kafka.bootstrap_servers, self.name),
            **read_database(self._mongo.url, self.name),
            initial_stock=dict.fromkeys(self._accounts, STOCK),
            feed=lines([self._folder / "feed.jsonl"]),
            snapshots=snapshots,
            changes=self._told("changes"),
            faults=lines([self._folder / "faults.jsonl"]),
            said=lines(sorted(self._folder.glob("worker-*.jsonl"))),
            planned=self._planned,
        )


def eventually(look: Callable[[], object], seconds: float) -> bool:
    """Look until it is so; False if it was not within ``seconds``."""
    until = time.monotonic() + seconds
    while not look():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True
