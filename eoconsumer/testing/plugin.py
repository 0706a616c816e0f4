"""pytest fixtures on real servers: ``kafka_broker``, ``mongo_replica_set``, ``postgres_server``,
``mariadb_server``, ``topic``.

pytest loads this file wherever eoconsumer is installed, so it imports nothing heavy: the servers
are imported, and started, by the first test that asks for them.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, TypeVar

import pytest

if TYPE_CHECKING:
    from eoconsumer.servers import KafkaBroker, MariaDBServer, MongoReplicaSet, PostgresServer
    from eoconsumer.servers.sql import SQLServer

    S = TypeVar("S", bound=SQLServer)


# Assertions of the suite are explained like those of a test file.
pytest.register_assert_rewrite("eoconsumer.testing.conformance")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marks of the suite known, for who runs it with ``--strict-markers``."""
    config.addinivalue_line("markers", "requirement(*ids): what a test of the suite proves")


class TopicFactory(Protocol):
    """What the fixture ``topic_factory`` gives."""

    def __call__(self, partitions: int = 1, **config: str) -> str:
        """Create a topic with a fresh name and return the name.

        ``config`` are topic settings, with ``_`` for ``.`` (``cleanup_policy="compact"``).
        """
        ...


@pytest.fixture(scope="session")
def kafka_broker() -> Iterator[KafkaBroker]:
    """A real Kafka broker for the whole test session."""
    from eoconsumer.servers import KafkaBroker

    with KafkaBroker() as broker:
        yield broker


@pytest.fixture(scope="session")
def mongo_replica_set() -> Iterator[MongoReplicaSet]:
    """A real replica set of three nodes, with fail points, for the whole test session."""
    from eoconsumer.servers import MongoReplicaSet

    with MongoReplicaSet(test_commands=True) as replica_set:
        yield replica_set


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real PostgreSQL server for the whole test session; it does not wait for the disk.

    Where there is none on this machine the test is skipped, or fails if ``CI`` is "true".
    """
    from eoconsumer.servers import PostgresServer

    yield from _started(PostgresServer(parameters={"fsync": "off"}))


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDBServer]:
    """A real MariaDB server, in the same way."""
    from eoconsumer.servers import MariaDBServer

    yield from _started(MariaDBServer(parameters={"innodb-flush-log-at-trx-commit": "0"}))


def _started(server: S) -> Iterator[S]:
    from eoconsumer.servers.sql import ServerMissing

    try:
        server.start()
    except ServerMissing as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))
    with server:
        yield server


@pytest.fixture
def topic_factory(kafka_broker: KafkaBroker, request: pytest.FixtureRequest) -> TopicFactory:
    """Create topics on ``kafka_broker`` that no other test sees; they go with the broker."""
    stem = re.sub(r"[^a-zA-Z0-9_-]+", "-", request.node.name)[:100].strip("-")

    def create(partitions: int = 1, **config: str) -> str:
        name = f"{stem}-{uuid.uuid4().hex[:8]}"
        kafka_broker.create_topic(name, partitions, **config)
        return name

    return create


@pytest.fixture
def topic(topic_factory: TopicFactory, request: pytest.FixtureRequest) -> str:
    """Create a topic that no other test sees and return its name; one partition.

    For another number of partitions::

        @pytest.mark.parametrize("topic", [4], indirect=True)
    """
    return topic_factory(getattr(request, "param", 1))
