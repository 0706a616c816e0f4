"""The database of a run: its server if it has one, what is in it at first, and who looks at it."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from pymongo import MongoClient
from pymongo.write_concern import WriteConcern
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from eoconsumer.servers import MariaDBServer, MongoReplicaSet, PostgresServer
from eoconsumer.servers.sql import SQLServer
from eoconsumer.stores.sql import SQLStore
from tests.chaos.feeder import STOCK, accounts
from tests.chaos.journal import Journal
from tests.chaos.nemesis.field import APP_NAME
from tests.chaos.observer import EFFECTS, LETTERS, OFFSETS, Changes, Snapshots
from tests.chaos.sql import tables
from tests.chaos.sql.observer import SQLChanges, SQLSnapshots

DATABASE = "chaos"


class Tried(Protocol):
    """A database that is tried; a context manager that starts and stops its server."""

    server: MongoReplicaSet | SQLServer | None
    readers: int  # of the worker that has more than one, if the database allows it

    @property
    def url(self) -> str:
        """The URL for those who look; without a secret."""

    @property
    def ports(self) -> list[int]:
        """The ports that workers reach through a proxy of their own."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def prepare(self, canary: str) -> None:
        """Make tables or collections, the stock, and a user whose password is the canary."""

    def told(self, proxies: Mapping[str, int], canary: str) -> dict[str, Any]:
        """Return what a worker is told of the database, and of its proxies by their ports."""

    def changes(self, journal: Journal) -> Changes:
        """Return who follows the changes of the offset rows."""

    def snapshots(self, journal: Journal) -> Snapshots:
        """Return who looks at effects and positions."""

    def wait_until_healthy(self) -> None:
        """Wait until all of it is there again."""


class MongoDB:
    """Three mongod."""

    readers = 2

    def __init__(self) -> None:
        self.server = MongoReplicaSet(3, test_commands=True)

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def ports(self) -> list[int]:
        return [node.port for node in self.server.nodes]

    def __enter__(self) -> Self:
        self.server.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.server.__exit__(kind, error, traceback)

    def prepare(self, canary: str) -> None:
        with MongoClient[dict[str, Any]](self.url) as client:
            client[DATABASE].create_collection(OFFSETS)
            stock = client[DATABASE].get_collection("stock", write_concern=WriteConcern("majority"))
            stock.insert_many([{"_id": name, "stock": STOCK} for name in accounts()])
            for name in (EFFECTS, LETTERS):  # not unique: a double is to be seen, not refused
                client[DATABASE][name].create_index([("topic", 1), ("partition", 1), ("offset", 1)])
            client[DATABASE].create_collection("counters")
            client.admin.command("createUser", "chaos", pwd=canary, roles=["root"])

    def told(self, proxies: Mapping[str, int], canary: str) -> dict[str, Any]:
        return {"store": self.secret_url(canary), "proxies": dict(proxies)}

    def secret_url(self, canary: str, database: str = DATABASE) -> str:
        plain = self.server.url_for(database).removeprefix("mongodb://")
        return f"mongodb://chaos:{canary}@{plain}&authSource=admin&appName={APP_NAME}"

    def changes(self, journal: Journal) -> Changes:
        return Changes(self.url, DATABASE, journal)

    def snapshots(self, journal: Journal) -> Snapshots:
        return Snapshots(self.url, DATABASE, journal)

    def wait_until_healthy(self) -> None:
        self.server.wait_until_healthy()


class SQL:
    """A server with one database, or a file."""

    def __init__(self, server: SQLServer | None, folder: Path) -> None:
        self.server = server
        self._file = folder / "shop.db"
        # In SQLite a process that is stopped outside of its transaction may be in another's.
        self.readers = 1 if server is None else 2
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        return self.server.url if self.server else f"sqlite:///{self._file}"

    @property
    def ports(self) -> list[int]:
        return [self.server.port] if self.server else []

    def __enter__(self) -> Self:
        if self.server:
            self._stack.enter_context(self.server)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def prepare(self, canary: str) -> None:
        store = SQLStore.connect(self.url)
        store.setup()
        tables.prepare(store.engine)
        store.close()
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in _USERS.get(engine.dialect.name, ()):
                connection.execute(text(statement.format(canary)))
        engine.dispose()

    def told(self, proxies: Mapping[str, int], canary: str) -> dict[str, Any]:
        url = make_url(self.url)
        if self.server:
            port = proxies[str(self.server.port)]
            url = url.set(username="chaos", password=canary, port=port)
        return {"store": url.render_as_string(hide_password=False), "proxies": {}}

    def changes(self, journal: Journal) -> Changes:
        return SQLChanges(self.url, journal)

    def snapshots(self, journal: Journal) -> Snapshots:
        return SQLSnapshots(self.url, journal)

    def wait_until_healthy(self) -> None:
        if self.server:
            self.server.start()  # does nothing where it runs


_USERS = {
    "postgresql": ("CREATE ROLE chaos SUPERUSER LOGIN PASSWORD '{}'",),
    "mariadb": (
        "CREATE USER chaos@'127.0.0.1' IDENTIFIED BY '{}'",
        "GRANT ALL ON *.* TO chaos@'127.0.0.1'",
    ),
}


def database_of(store: str, folder: Path) -> Tried:
    """Return the database of a store of ``plan.STORES``; ``folder`` takes its file, if it is one.

    Raises ``ServerMissing`` when it is entered and there is no such server on this machine.
    """
    if store == "mongodb":
        return MongoDB()
    server: SQLServer | None = None
    if store == "postgresql":
        server = PostgresServer()
        server.end_signal = signal.SIGQUIT  # at once, without a word to anybody
    elif store == "mariadb":
        server = MariaDBServer()
    return SQL(server, folder)
