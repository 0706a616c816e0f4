"""Fixtures on the shared broker and replica set: every test has a database of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from functools import partial

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from trial import Document, Fill, produce

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
