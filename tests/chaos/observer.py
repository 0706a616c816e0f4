"""Looks at MongoDB while the run goes on, as it is for the majority.

``Snapshots``: effects and positions together, in one transaction with snapshot read concern.
``Changes``: every change of the offset rows, in order, from a change stream.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from tests.chaos.journal import Journal

OFFSETS = "eoconsumer_offsets"
LETTERS = "eoconsumer_dead_letters"
EFFECTS = "effects"
EVERY = 0.3  # seconds between two snapshots
#: A node that hangs is noticed within two seconds.
NOTICE = {
    "heartbeatFrequencyMS": 500,
    "connectTimeoutMS": 1000,
    "serverSelectionTimeoutMS": 2000,
    "socketTimeoutMS": 3000,
}
Place = tuple[str, int]  # topic, partition


class Snapshots:
    """One line for each snapshot: for each partition the position, and what is there since."""

    def __init__(self, url: str, database: str, journal: Journal) -> None:
        self._url, self._name = url, database
        self._journal = journal
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._observe, name="snapshots", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(30)

    def _observe(self) -> None:
        seen: dict[Place, int] = {}
        with MongoClient[dict[str, Any]](self._url, tz_aware=True, **NOTICE) as client:
            while not self._stopping.wait(EVERY):
                try:
                    seen = self._look(client, seen)
                except PyMongoError as error:  # no primary, no majority: the next look will do
                    self._journal.write("blind", error=type(error).__name__)

    def _look(self, client: MongoClient[Any], seen: dict[Place, int]) -> dict[Place, int]:
        database = client[self._name]
        begun = time.monotonic()
        with (
            client.start_session() as session,
            session.start_transaction(ReadConcern("snapshot"), WriteConcern("majority")),
        ):
            rows = list(
                database[OFFSETS].find({"_id.partition": {"$exists": True}}, session=session)
            )
            at = {(row["_id"]["topic"], row["_id"]["partition"]): row for row in rows}
            since = [
                {"topic": t, "partition": p, "offset": {"$gte": seen.get((t, p), 0)}} for t, p in at
            ]
            counted = {
                name: _counted(database[name], since, session) if since else {}
                for name in (EFFECTS, LETTERS)
            }
        found = {place: (row["next_offset"], row["epoch"]) for place, row in at.items()}
        return self._tell(begun, found, seen, counted)

    def _tell(
        self,
        begun: float,
        found: dict[Place, tuple[int, int]],
        seen: dict[Place, int],
        counted: dict[str, dict[Place, Any]],
    ) -> dict[Place, int]:
        """Write down positions and epochs, with what is there since; return the positions."""
        self._journal.write(
            "snapshot",
            begun=begun,
            partitions=[
                {
                    "topic": topic,
                    "partition": partition,
                    "since": seen.get((topic, partition), 0),
                    "next": position,
                    "epoch": epoch,
                    "effects": counted[EFFECTS].get((topic, partition)),
                    "letters": counted[LETTERS].get((topic, partition)),
                }
                for (topic, partition), (position, epoch) in found.items()
            ],
        )
        return {place: position for place, (position, _) in found.items()}


def _counted(collection: Any, since: list[Any], session: Any) -> dict[Place, dict[str, int]]:
    groups = collection.aggregate(
        [
            {"$match": {"$or": since}},
            {
                "$group": {
                    "_id": {"topic": "$topic", "partition": "$partition"},
                    "count": {"$sum": 1},
                    "last": {"$max": "$offset"},
                }
            },
        ],
        session=session,
    )
    return {
        (group["_id"]["topic"], group["_id"]["partition"]): {
            "count": group["count"],
            "last": group["last"],
        }
        for group in groups
    }


class Changes:
    """One line for each change of an offset row; and when each partition last moved."""

    def __init__(self, url: str, database: str, journal: Journal) -> None:
        self._url, self._name = url, database
        self._journal = journal
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="changes", daemon=True)
        self._news = threading.Condition()
        self.moved: dict[Place, float] = {}  # when each partition last advanced
        self.epochs: dict[Place, int] = defaultdict(int)
        self.ready = threading.Event()

    def start(self) -> None:
        self._thread.start()
        assert self.ready.wait(30), "the change stream did not begin"

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(30)

    def wait(self, wanted: Any, seconds: float) -> bool:
        """Wait until ``wanted()`` is true, and look after every change; False if it did not."""
        until = time.monotonic() + seconds
        while not wanted():
            if time.monotonic() > until:
                return False
            with self._news:
                self._news.wait(0.1)
        return True

    def _follow(self) -> None:
        after: Any = None
        with MongoClient[dict[str, Any]](self._url, tz_aware=True, **NOTICE) as client:
            while not self._stopping.is_set():
                try:
                    after = self._read(client, after)
                except OperationFailure as error:
                    self._journal.write("stream lost", error=str(error)[:300])
                    time.sleep(0.2)
                except PyMongoError:
                    time.sleep(0.2)

    def _read(self, client: MongoClient[Any], after: Any) -> Any:
        collection = client[self._name][OFFSETS]
        with collection.watch(resume_after=after, max_await_time_ms=100) as stream:
            self.ready.set()
            while not self._stopping.is_set():
                try:
                    change = stream.try_next()
                except PyMongoError:
                    if stream.resume_token is None:
                        raise
                    return stream.resume_token
                if change is not None:
                    self._note(change)
                after = stream.resume_token
        return after

    def _note(self, change: dict[str, Any]) -> None:
        key = change.get("documentKey", {}).get("_id", {})
        if "partition" not in key:
            return
        update = change.get("updateDescription", {})
        fields = change.get("fullDocument") or update.get("updatedFields", {})
        fields = {name: _plain(value) for name, value in fields.items() if name != "_id"}
        lsid = change.get("lsid")
        # When the server wrote it, in our monotonic seconds; it may have reached us much later.
        at = change["wallTime"].timestamp() + time.monotonic() - time.time()
        self._record(
            change["operationType"],
            at,
            (key["topic"], key["partition"]),
            fields,
            update.get("removedFields", []),
            bytes(lsid["id"]).hex() if lsid else None,
        )

    def _record(
        self,
        said: str,
        at: float,
        place: Place,
        fields: dict[str, Any],
        removed: list[str],
        transaction: str | None,
    ) -> None:
        """Write a change down; ``transaction`` names the session that made it, in one."""
        topic, partition = place
        self._journal.write(
            said,
            at=at,
            topic=topic,
            partition=partition,
            fields=fields,
            removed=removed,
            transaction=transaction,
        )
        with self._news:
            if "epoch" in fields:
                self.epochs[place] = fields["epoch"]
            elif "next_offset" in fields:
                self.moved[place] = at
            self._news.notify_all()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return bytes(value).hex()
    return value if isinstance(value, bool | int | str | None) else str(value)
