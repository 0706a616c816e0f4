"""What a fault can reach, and what it tells of itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from pymongo import MongoClient

from tests.chaos.crew import Crew, Member
from tests.chaos.feeder import Feeder
from tests.chaos.observer import Changes
from tests.chaos.plan import Fault
from tests.chaos.proxy import Proxies
from tests.chaos.side import Side

if TYPE_CHECKING:
    from eoconsumer.servers import KafkaBroker, MongoReplicaSet
    from eoconsumer.servers.sql import SQLServer

#: Seconds that a member may be silent before Kafka gives its partitions to others.
SESSION_TIMEOUT = 2.0
#: What the workers are called in MongoDB; fail points know them by it.
APP_NAME = "chaos-worker"
Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a fault.

    ``took``: it had the effect that it is named for. ``since``: from then on everything that is
    needed for progress was there again, in monotonic seconds; ``places``: the partitions that had
    to recover, None for all; ``note``: what was seen.
    """

    took: bool
    since: float | None = None
    places: list[Place] | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """All that runs."""

    kafka: KafkaBroker
    store: MongoReplicaSet | SQLServer | None  # SQLite has no server
    crew: Crew
    proxies: Proxies
    feeder: Feeder
    other: Side | None
    changes: Changes
    topic: str
    database: str

    @property
    def mongo(self) -> MongoReplicaSet:
        """The replica set of a run on MongoDB."""
        return cast("MongoReplicaSet", self.store)

    @property
    def sql(self) -> SQLServer:
        """The server of a run on PostgreSQL or MariaDB."""
        return cast("SQLServer", self.store)

    @property
    def side(self) -> Side:
        """The topic that is destroyed, of a run on MongoDB."""
        assert self.other is not None
        return self.other

    def owned(self, member: Member) -> dict[Place, int]:
        """Return what a worker has claimed and nobody after it, with the epochs."""
        last: dict[Place, tuple[float, int]] = {}
        for slot in range(len(self.crew.members)):
            other = self.crew[slot]
            for line in other.heard("claimed"):
                for name in line["positions"]:
                    topic, _, partition = name.rpartition("-")
                    place = topic, int(partition)
                    last[place] = max(last.get(place, (0.0, 0)), (line["at"], other.pid))
        mine = [place for place, (_, pid) in last.items() if pid == member.pid]
        return {place: self.changes.epochs[place] for place in mine}

    def taken_over(self, owned: dict[Place, int], seconds: float = 20.0) -> bool:
        """Wait until all of these were claimed anew."""
        return self.changes.wait(
            lambda: all(self.changes.epochs[place] > epoch for place, epoch in owned.items()),
            seconds,
        )

    def moved(self, places: list[Place] | None, since: float, seconds: float = 20.0) -> bool:
        """Wait until these partitions (all, if None) have moved after ``since``."""
        places = list(self.changes.epochs) if places is None else places
        return self.changes.wait(
            lambda: all(self.changes.moved.get(place, 0.0) > since for place in places), seconds
        )

    def last_move(self) -> float:
        """Return when a partition last moved; now, if none ever has."""
        return max(self.changes.moved.values(), default=time.monotonic())

    def term(self) -> int:
        """Return the election term of the replica set, as the newest primary has it."""
        hello = self.mongo.wait_for_primary().hello() or {}
        return int(hello["electionId"].binary[4:].hex(), 16) if "electionId" in hello else 0

    @contextmanager
    def fail_point(
        self, node: Any, name: str, mode: Any, data: dict[str, Any] | None = None
    ) -> Any:
        """Switch a fail point on and off again; give a function that counts its hits."""
        with node.connect() as client:

            def configure(mode: Any, data: dict[str, Any]) -> int:
                command = {"configureFailPoint": name, "mode": mode, "data": data}
                return int(client.admin.command(command).get("count", 0))

            before = configure(mode, data or {})
            try:
                yield lambda: _hits(client, name) - before
            finally:
                configure("off", {})


def _hits(client: MongoClient[Any], name: str) -> int:
    return int(
        client.admin.command({"getParameter": 1, f"failpoint.{name}": 1})[f"failpoint.{name}"][
            "timesEntered"
        ]
    )


Bring = Callable[[Field, Fault], Outcome]


def eventually(look: Callable[[], bool], seconds: float) -> bool:
    """Look until it is so; False if it was not within ``seconds``."""
    until = time.monotonic() + seconds
    while not look():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True
