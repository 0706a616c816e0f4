"""MariaDB and MySQL (InnoDB): a reader's mark is a named lock."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import ColumnElement, Connection, Insert, Select, Table, func, text
from sqlalchemy.dialects.mysql import insert
from sqlalchemy.exc import SQLAlchemyError

from eoconsumer.errors import ConfigurationError, TransientStoreError
from eoconsumer.stores.sql.database import CLAIM_IDLE_SECONDS, Settle
from eoconsumer.stores.sql.tables import metadata
from eoconsumer.stores.sql.translation import Kind, kind_of

#: How long a statement waits for a lock: a stopped process holds its locks for hours, and only who
#: gives up can throw it out. One second is the shortest that the server knows.
LOCK_SECONDS = 1
SCHEMA_LOCK = "eoconsumer schema"
#: What can skip locked rows.
OLDEST = {"MariaDB": (10, 6), "MySQL": (8, 0)}


class MySQL:
    """MariaDB 10.6 or newer, MySQL 8 or newer."""

    ends_sessions = True
    many_writers = True
    implicit_commit = True

    def is_absent(self, error: SQLAlchemyError) -> bool:
        """Go by the number: a server that starts up does not listen yet."""
        return kind_of(error) is not Kind.DATA

    def begin(self, level: str) -> str:  # noqa: ARG002 - the level is one of the session
        """Begin; the level of the session holds."""
        return "START TRANSACTION"

    def prepare(self, connection: Connection, mark: str) -> None:
        """Bound the waits, and take the mark; a connection that keeps it is bound to end soon."""
        connection.exec_driver_sql(f"SET SESSION innodb_lock_wait_timeout = {LOCK_SECONDS}")
        taken = func.get_lock(_name(mark), LOCK_SECONDS * 2)
        if connection.execute(taken.select()).scalar() != 1:
            raise TransientStoreError(
                "Our former connection still holds its transaction; nothing was written. It is "
                "tried again."
            )

    def end(self, connection: Connection, mark: str) -> bool:
        """Kill the connection that holds the named lock of ``mark``."""
        number = connection.execute(func.is_used_lock(_name(mark)).select()).scalar()
        if number is None:
            return False
        connection.exec_driver_sql(f"KILL {int(number)}")
        return True

    @contextmanager
    def claiming(self, connection: Connection) -> Iterator[None]:
        """Begin without the locks on gaps that other claims would run into."""
        connection.exec_driver_sql(
            "SET @eoconsumer_wait = @@SESSION.wait_timeout,"
            f" SESSION wait_timeout = {CLAIM_IDLE_SECONDS}"
        )
        try:
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            connection.exec_driver_sql("START TRANSACTION")
            yield
        finally:
            connection.exec_driver_sql("SET SESSION wait_timeout = @eoconsumer_wait")

    def locked(self, rows: Select[Any], *, skip: bool) -> Select[Any]:
        """Lock with NOWAIT or SKIP LOCKED."""
        return rows.with_for_update(nowait=not skip, skip_locked=skip)

    def insert_new(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> Insert:
        """Insert, or write what is there: INSERT IGNORE would pass over other errors, too."""
        first = next(iter(table.primary_key))
        return insert(table).values(rows).on_duplicate_key_update({first.name: first})

    def insert_or(
        self, table: Table, rows: Sequence[Mapping[str, Any]], settle: Mapping[str, Settle]
    ) -> Insert:
        """Insert, or update on a duplicate key, in the order of ``settle``."""
        statement = insert(table).values(rows)
        new = statement.inserted
        return statement.on_duplicate_key_update(
            [(name, value(new[name])) for name, value in settle.items()]
        )

    def last(self, text: ColumnElement[str], length: int) -> ColumnElement[str]:
        """Return the end of ``text``."""
        return func.right(text, length)

    @contextmanager
    def alone(self, connection: Connection) -> Iterator[None]:
        """Hold a named lock: DDL is no part of a transaction here."""
        connection.execute(func.get_lock(SCHEMA_LOCK, 30).select())
        try:
            yield
            connection.commit()
        finally:
            connection.execute(func.release_lock(SCHEMA_LOCK).select())

    def check(self, connection: Connection) -> Iterator[tuple[str, Callable[[], str]]]:
        """Refuse servers that are too old, and read-only ones."""

        def version() -> str:
            told = str(connection.execute(func.version().select()).scalar_one())
            name = "MariaDB" if "MariaDB" in told else "MySQL"
            found = re.search(r"(\d+)\.(\d+)\.\d+", told.removeprefix("5.5.5-"))
            if found and tuple(map(int, found.groups())) < OLDEST[name]:
                raise ConfigurationError(
                    f"{name} {found[0]} is too old; nothing was consumed. "
                    f"Use {'.'.join(map(str, OLDEST[name]))} or newer."
                )
            return f"{name} {found[0] if found else told}"

        def primary() -> str:
            if connection.execute(text("SELECT @@global.read_only")).scalar_one():
                raise ConfigurationError(
                    "The server is read-only, so it is a replica; nothing was consumed. Let the "
                    "URL name the primary."
                )
            return "a primary"

        yield "version", version
        yield "primary", primary

    def roles(self, database: str) -> str:
        """Return the statements of an administrator."""
        grants = "".join(
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON {database}.{name} TO ledger@'%';\n"
            for name in metadata.tables
        )
        return (
            f"CREATE USER ledger@'%' IDENTIFIED BY '...';\n{grants}"
            "-- and what your handler writes. Use one user for each group: a new owner ends the\n"
            "-- connection of one that hangs, and may do that to connections of its own user only."
        )


def _name(mark: str) -> str:
    return f"eoconsumer {mark}"
