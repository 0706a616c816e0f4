"""The SQL stores under one roof: each test runs on all databases that can show what it is about."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Table, create_engine, insert, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from eoconsumer.core.positions import Move, Position, Start
from eoconsumer.message import TopicPartition
from eoconsumer.servers.sql import SQLServer
from eoconsumer.stores.sql import groups
from eoconsumer.stores.sql.session import SQLSession
from eoconsumer.testing.conformance.contract import patiently
from tests.conformance.sql_stores import FreshStore, fresh_store, ledger

ORDERS = TopicPartition("orders", 0)
RETURNS = TopicPartition("returns", 0)

ALL = ("postgres_server", "mariadb_server", "sqlite")
SERVERS = ALL[:2]


class Base(DeclarativeBase):
    pass


class Line(Base):
    __tablename__ = "texts"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


def url_of(name: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """Return the URL of a database by its name in ``ALL``."""
    if name == "sqlite":
        return f"sqlite:///{folder}/shop.db"
    url: str = request.getfixturevalue(name).url
    return url


def empty_database(server: SQLServer) -> str:
    """Make a database on ``server`` and return its URL."""
    name = f"test_{uuid4().hex[:12]}"
    engine = create_engine(server.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return server.url_for(name)


@pytest.fixture(params=ALL)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of empty tables, with a ledger, that names no driver, on each of the databases."""
    if request.param == "sqlite":
        found = f"sqlite:///{tmp_path}/shop.db"
    else:
        found = request.getfixturevalue(request.param).bare_url
    with fresh_store(found):
        return found


@pytest.fixture(params=ALL)
def sql_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FreshStore]:
    """A store of empty tables, with a ledger, on each of the databases."""
    with fresh_store(url_of(request.param, request, tmp_path)) as store:
        yield store


def owner(
    store: FreshStore, name: str = "first", keys: tuple[TopicPartition, ...] = (ORDERS,)
) -> tuple[SQLSession, dict[TopicPartition, Position]]:
    """Open a session that owns ``keys``, each at offset 0."""
    session = store.open("ledger", name)
    starts = {key: Start(0, partitions=1) for key in keys}
    # A claim that a busy machine holds up is ended by the server, and asks for another try.
    return session, dict(patiently(lambda: session.claim(keys, starts)).positions)


def step(rows: Mapping[TopicPartition, Position], key: TopicPartition = ORDERS) -> Move:
    """Return the move of a partition by one message."""
    row = rows[key]
    return Move(key, row.epoch, row.next_offset, row.next_offset + 1)


def texts(store: FreshStore) -> Sequence[str]:
    """Return what everybody sees in the ledger."""
    with store.engine.connect() as connection:
        return list(connection.scalars(select(ledger.c.text).order_by(ledger.c.id)))


def inserts(into: Table, rows: Sequence[dict[str, Any]]) -> list[Any]:
    """Return the writes of a handler that inserts ``rows``."""
    statement = insert(into)
    return [(statement, row) for row in rows]


def written(store: FreshStore, table: Table, *batches: Sequence[Any]) -> list[dict[str, Any]]:
    """Send each of ``batches`` in a transaction of one session; return the rows of the table."""
    session, _ = owner(store)
    for batch in batches:
        with session.transaction() as transaction:
            transaction.write(batch)
    with store.engine.connect() as connection:
        rows = connection.execute(select(table).order_by(table.c.number)).mappings()
        return [dict(row) for row in rows]


def noted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[bool]:
    """Return a list that tells of each group of many rows whether it went the way ``name``."""
    found: list[bool] = []
    way = getattr(groups, name)

    def noting(*arguments: Any) -> bool:
        found.append(way(*arguments))
        return found[-1]

    monkeypatch.setattr(groups, name, noting)
    return found


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each group of many rows went by COPY."""
    return noted(monkeypatch, "copied")


def crash(server: SQLServer) -> None:
    """Let all of PostgreSQL be gone at once.

    Of one whose first process is killed, children stay for a moment and keep a new one from
    starting: "pre-existing shared memory block is still in use".
    """
    server.end_signal = signal.SIGQUIT
    server.terminate()
    del server.end_signal  # the next end is an orderly one again
