"""SQLite: one writer at a time, in a file; what is committed is on the disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, func
from sqlalchemy.dialects.sqlite import Insert, insert
from sqlalchemy.exc import SQLAlchemyError

from eoconsumer.errors import ConfigurationError
from eoconsumer.stores.sql.database import CLAIM_SECONDS
from eoconsumer.stores.sql.on_conflict import OnConflict
from eoconsumer.stores.sql.translation import Kind, kind_of

#: How long a transaction waits until the one before it is over.
BUSY_SECONDS = 5
OLDEST = (3, 35, 0)


class SQLite(OnConflict):
    """SQLite 3.35 or newer, in a file.

    Nobody can be thrown out: a process that was stopped in a transaction holds up all others until
    it goes on or ends. One that was killed is gone with its transaction.
    """

    ends_sessions = False
    many_writers = False
    implicit_commit = False

    def is_absent(self, error: SQLAlchemyError) -> bool:
        """A file is there or not; but another process may be writing to it."""
        return kind_of(error) is Kind.BLOCKED

    def begin(self, level: str) -> str:  # noqa: ARG002 - there is one level
        """Begin as the writer: one that has only read could not become it, and would fail."""
        return "BEGIN IMMEDIATE"

    def prepare(self, connection: Connection, mark: str) -> None:  # noqa: ARG002 - no marks here
        """Read while another writes, and write through to the disk."""
        _wait(connection, BUSY_SECONDS)
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        connection.exec_driver_sql("PRAGMA synchronous = FULL")

    def end(self, connection: Connection, mark: str) -> bool:  # noqa: ARG002
        """Nobody can be thrown out."""
        return False

    @contextmanager
    def claiming(self, connection: Connection) -> Iterator[None]:
        """Begin, or give up soon: the thread that polls Kafka is waiting."""
        _wait(connection, CLAIM_SECONDS)
        try:
            connection.exec_driver_sql(self.begin(""))
        finally:
            _wait(connection, BUSY_SECONDS)
        yield

    def locked(self, rows: Select[Any], *, skip: bool) -> Select[Any]:  # noqa: ARG002
        """Who has begun is the only one who writes."""
        return rows

    def insert_into(self, table: Table) -> Insert:
        """Return an insert of this dialect."""
        return insert(table)

    def last(self, text: ColumnElement[str], length: int) -> ColumnElement[str]:
        """Return the end of ``text``."""
        return func.substr(text, -length)

    @contextmanager
    def alone(self, connection: Connection) -> Iterator[None]:
        """Be the writer; DDL is part of the transaction."""
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield
        connection.commit()

    def check(self, connection: Connection) -> Iterator[tuple[str, Callable[[], str]]]:
        """Refuse versions that are too old, and databases that are no file."""

        def version() -> str:
            if sqlite3.sqlite_version_info < OLDEST:
                raise ConfigurationError(
                    f"SQLite {sqlite3.sqlite_version} is too old; nothing was consumed. "
                    f"Use {'.'.join(map(str, OLDEST))} or newer."
                )
            return f"SQLite {sqlite3.sqlite_version}"

        def file() -> str:
            listed = connection.exec_driver_sql("PRAGMA database_list").all()
            if not any(row[1] == "main" and row[2] for row in listed):
                raise ConfigurationError(
                    "A SQLite database in memory belongs to one connection; nothing was consumed. "
                    "Name a file: sqlite:///shop.db, or sqlite:////var/lib/shop.db."
                )
            return "a file"

        yield "version", version
        yield "file", file

    def roles(self, database: str) -> str:
        """Return what stands for roles here."""
        return f"-- SQLite has no roles: whoever may write to the folder of {database} may do all."


def _wait(connection: Connection, seconds: float) -> None:
    connection.exec_driver_sql(f"PRAGMA busy_timeout = {seconds * 1000:.0f}")
