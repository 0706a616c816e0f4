"""Fixtures on the shared broker and replica set: every test has a database of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from trial import QUICK, Document, Fill, produce
from worker import Worker

from eoconsumer.servers import KafkaBroker, MongoReplicaSet
from eoconsumer.stores.mongo import MongoStore


@pytest.fixture
def database(mongo_replica_set: MongoReplicaSet) -> Iterator[Database[Document]]:
    """An empty database, seen through a client of the test's own; it goes with the servers."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    url = mongo_replica_set.url_for(name)
    with MongoClient[Document](url, readConcernLevel="majority") as client:
        yield client[name]


@pytest.fixture
def store_url(mongo_replica_set: MongoReplicaSet, database: Database[Document]) -> str:
    """The URL of ``database`` for the consumers under test; fail points know them by its name."""
    return f"{mongo_replica_set.url_for(database.name)}&appName={database.name}"


@pytest.fixture
def store(store_url: str) -> Iterator[MongoStore]:
    """A store in ``database``, with a client of its own."""
    opened = MongoStore.connect(store_url)
    yield opened
    opened.close()


@pytest.fixture
def fill(kafka_broker: KafkaBroker) -> Fill:
    """Produce messages with keys; see ``Fill``."""
    return partial(produce, kafka_broker.bootstrap_servers)


class Start(Protocol):
    """What the fixture ``start`` gives."""

    def __call__(
        self, topic: str, told: Mapping[str, Any] | None = None, /, **settings: Any
    ) -> Worker:
        """Start a worker process on ``topic``; ``told`` as in ``workers/ledger.py``.

        ``settings`` are those of ``Consumer``; the group has the name of the topic.
        """
        ...


@pytest.fixture
def start(kafka_broker: KafkaBroker, store_url: str, tmp_path: Path) -> Iterator[Start]:
    """Start worker processes; they end with the test, which shows their stderr if it fails."""
    started: list[Worker] = []

    def launch(topic: str, told: Mapping[str, Any] | None = None, /, **settings: Any) -> Worker:
        settings = {"topics": [topic], "group": topic, "kafka": QUICK} | settings
        worker = Worker(
            tmp_path / f"worker-{len(started)}.log",
            bootstrap=kafka_broker.bootstrap_servers,
            store=store_url,
            settings=settings,
            **(told or {}),
        )
        started.append(worker)
        return worker

    yield launch
    for worker in started:
        worker.kill()
        print(worker.told)  # noqa: T201 - pytest shows it where the test failed
