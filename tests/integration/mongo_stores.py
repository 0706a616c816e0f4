"""Stores on the shared replica set, each in a database of its own, and ways to make them fail."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from threading import Event
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)
from pymongo.synchronous.pool import Pool

from eoconsumer.core.lanes import Lane
from eoconsumer.core.positions import Move, Position, Start
from eoconsumer.message import TopicPartition
from eoconsumer.servers import MongoReplicaSet
from eoconsumer.stores.mongo import MongoStore
from eoconsumer.stores.mongo.session import MongoSession

ORDERS = TopicPartition("orders", 0)
RETURNS = TopicPartition("returns", 0)


class Commands(CommandListener):
    """Remembers what was sent to the server."""

    def __init__(self) -> None:
        self.sent: list[CommandStartedEvent] = []

    @property
    def names(self) -> list[str]:
        return [event.command_name for event in self.sent]

    def __getitem__(self, name: str) -> list[Mapping[str, Any]]:
        return [event.command for event in self.sent if event.command_name == name]

    def started(self, event: CommandStartedEvent) -> None:
        self.sent.append(event)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass


class FreshStore(MongoStore):
    """Closes its sessions, so that a test that fails in a transaction harms no other."""

    def __init__(self, client: MongoClient[dict[str, Any]], database: str) -> None:
        super().__init__(client, database)
        self.opened: list[MongoSession] = []

    def open(self, group: str, owner: str) -> MongoSession:
        self.opened.append(super().open(group, owner))
        return self.opened[-1]

    def open_lane(self, group: str, owner: str, lane: Lane) -> MongoSession:
        self.opened.append(super().open_lane(group, owner, lane))
        return self.opened[-1]

    def close(self) -> None:
        for session in self.opened:
            session.close()
        self.client.drop_database(self.database.name)
        super().close()


@contextmanager
def fresh_store(
    replica_set: MongoReplicaSet, *, options: str = "", listener: CommandListener | None = None
) -> Iterator[MongoStore]:
    """Make a store in an empty database with a collection "ledger"; ``options`` go to the URL."""
    name = f"store_{uuid.uuid4().hex[:8]}"
    url = f"{replica_set.url_for(name)}&appName={name}{options}"
    listeners = [listener] if listener else []
    with (
        MongoClient[dict[str, Any]](url, event_listeners=listeners) as client,
        closing(FreshStore(client, name)) as store,
    ):
        store.setup()
        store.database.create_collection("ledger")
        yield store


@contextmanager
def failing(store: MongoStore, *commands: str, times: int = 1, **how: Any) -> Iterator[None]:
    """Let the next ``times`` of ``commands`` fail that come from this store's client."""
    data = {"failCommands": commands, "appName": store.database.name, **how}
    point = {"configureFailPoint": "failCommand", "data": data}
    with store.client.start_session() as outside:
        store.client.admin.command({**point, "mode": {"times": times}}, session=outside)
        try:
            yield
        finally:
            store.client.admin.command({**point, "mode": "off"}, session=outside)


#: Where a write of another thread may be when its transaction ends: before and behind the guard.
HELD: dict[str, tuple[type, str]] = {
    "waits for a connection": (Pool, "checkout"),
    "is in the driver": (ClientSession, "_materialize"),
}


@contextmanager
def held(monkeypatch: pytest.MonkeyPatch, where: str) -> Iterator[tuple[Event, Event]]:
    """Hold the next write ``where``; yields what tells that it waits, and what lets it go on."""
    kind, name = HELD[where]
    real, waits, go = getattr(kind, name), Event(), Event()

    def waiting(*args: Any, **kwargs: Any) -> Any:
        waits.set()
        assert go.wait(10)
        return real(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(kind, name, waiting)
        try:
            yield waits, go
        finally:
            go.set()


def owner(
    store: MongoStore, name: str = "first", keys: tuple[TopicPartition, ...] = (ORDERS,)
) -> tuple[MongoSession, dict[TopicPartition, Position]]:
    """Open a session that owns ``keys``, each at offset 0."""
    session = store.open("ledger", name)
    starts = {key: Start(0, partitions=1) for key in keys}
    return session, dict(session.claim(keys, starts).positions)


def step(rows: Mapping[TopicPartition, Position], key: TopicPartition = ORDERS) -> Move:
    """Return the move of a partition by one message."""
    row = rows[key]
    return Move(key, row.epoch, row.next_offset, row.next_offset + 1)


def ledger(store: MongoStore) -> list[Any]:
    """Return what everybody sees in the ledger."""
    with store.client.start_session() as outside:
        return [d["_id"] for d in store.database["ledger"].find({}, session=outside)]
