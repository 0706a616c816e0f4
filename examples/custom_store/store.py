"""A store of one's own: positions, dead letters and the handler's rows in a file of SQLite.

Whoever writes begins as the one writer (BEGIN IMMEDIATE). So what a transaction reads stays true
until its commit, and each promise of ``eoconsumer.protocols`` is a plain statement.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from eoconsumer.core.applied import Applied
from eoconsumer.core.letters import Letter, Selection
from eoconsumer.errors import ConfigurationError
from eoconsumer.message import TopicPartition

from . import letters
from .session import Session
from .writing import busy


class SQLiteStore:
    transaction_seconds: float | None = None

    def __init__(self, path: str) -> None:
        self.path = path

    @classmethod
    def connect(cls, url: str) -> "SQLiteStore":
        path = url.partition(":///")[2]
        if not path:
            raise ConfigurationError("The URL names no file; its form is custom:///shop.db.")
        return cls(path)

    def setup(self) -> None:
        with busy(), closing(self.database()) as database:
            database.execute("PRAGMA journal_mode = WAL")  # others read while one writes
            database.executescript(Path(__file__).with_name("schema.sql").read_text("utf-8"))

    def database(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=1, isolation_level=None, check_same_thread=False)

    def open(self, group: str, owner: str) -> Session:
        return Session(self.database(), group, owner)

    def letters(self, which: Selection, after: Letter | None, limit: int) -> list[Letter]:
        with closing(self.database()) as database:
            return letters.find(database, which, after, limit)

    def applied(
        self, group: str, partition: TopicPartition, first: int, upto: int
    ) -> Iterator[Applied]:
        with closing(self.database()) as database:
            yield from letters.applied(database, group, partition, first, upto)

    def close(self) -> None: ...
