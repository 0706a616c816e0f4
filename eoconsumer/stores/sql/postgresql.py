"""PostgreSQL: rows are locked one by one, and a reader's mark is an advisory lock."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, func, text
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.exc import SQLAlchemyError

from eoconsumer.errors import ConfigurationError
from eoconsumer.stores.sql.database import CLAIM_IDLE_SECONDS, CLAIM_SECONDS
from eoconsumer.stores.sql.on_conflict import OnConflict
from eoconsumer.stores.sql.tables import metadata
from eoconsumer.stores.sql.translation import Kind, kind_of

#: How long a handler's statement waits for a lock, where the user has set no ``lock_timeout``:
#: a stopped process holds its locks for ever, and only who gives up can throw it out.
LOCK_SECONDS = 2
OLDEST = 120_000
#: What says that nobody was there, or ready; what else libpq says is of users, databases and TLS.
#: A server that speaks another language than English is not understood.
ABSENT = re.compile(
    r"the database system is|server closed the connection|could not translate host name"
    r"|Name or service not known|name resolution|Connection re(fused|set)|No route to host"
    r"|Network is unreachable|timeout expired|timed out|No such file or directory"
)
SCHEMA_LOCK = 0x656F636F6E73756D  # "eoconsum"


class PostgreSQL(OnConflict):
    """PostgreSQL 12 or newer."""

    ends_sessions = True
    many_writers = True
    implicit_commit = False

    def is_absent(self, error: SQLAlchemyError) -> bool:
        """Go by the SQLSTATE, or the text: libpq gives no SQLSTATE for what ends a login."""
        kind = kind_of(error)
        if kind is not Kind.LOST:
            return kind is not Kind.DATA
        known = getattr(getattr(error, "orig", None), "sqlstate", None)
        return known is not None or ABSENT.search(str(error)) is not None

    def begin(self, level: str) -> str:
        """Name the level: a connection in autocommit mode has none of its own."""
        return f"BEGIN ISOLATION LEVEL {level}"

    def prepare(self, connection: Connection, mark: str) -> None:
        """Bound the waits, and take the mark; a connection that keeps it is bound to end soon."""
        connection.execute(
            text(
                "SELECT set_config('lock_timeout', :wait, false)"
                " WHERE current_setting('lock_timeout') = '0'"
            ),
            {"wait": f"{LOCK_SECONDS}s"},
        )
        connection.execute(func.pg_advisory_lock(_number(mark)).select())

    def end(self, connection: Connection, mark: str) -> bool:
        """Terminate the backend that holds the advisory lock of ``mark``."""
        number = _number(mark)
        found = connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
                " AND objsubid = 1 AND CAST(classid AS bigint) = :high"
                " AND CAST(objid AS bigint) = :low AND granted AND database ="
                " (SELECT oid FROM pg_database WHERE datname = current_database())"
            ),
            {"high": number >> 32 & 0xFFFFFFFF, "low": number & 0xFFFFFFFF},
        )
        return found.first() is not None

    @contextmanager
    def claiming(self, connection: Connection) -> Iterator[None]:
        """Begin, with timeouts for this transaction alone."""
        connection.exec_driver_sql(self.begin("READ COMMITTED"))
        connection.execute(
            text(
                "SELECT set_config('lock_timeout', :wait, true),"
                " set_config('idle_in_transaction_session_timeout', :idle, true)"
            ),
            {"wait": f"{CLAIM_SECONDS * 1000:.0f}", "idle": f"{CLAIM_IDLE_SECONDS}s"},
        )
        yield

    def locked(self, rows: Select[Any], *, skip: bool) -> Select[Any]:
        """Lock with NOWAIT or SKIP LOCKED."""
        return rows.with_for_update(nowait=not skip, skip_locked=skip)

    def insert_into(self, table: Table) -> Insert:
        """Return an insert of this dialect."""
        return insert(table)

    def last(self, text: ColumnElement[str], length: int) -> ColumnElement[str]:
        """Return the end of ``text``."""
        return func.right(text, length)

    @contextmanager
    def alone(self, connection: Connection) -> Iterator[None]:
        """Hold a lock until the transaction ends; DDL is part of it."""
        connection.exec_driver_sql("BEGIN")  # SQLAlchemy begins none in autocommit mode
        connection.execute(func.pg_advisory_xact_lock(SCHEMA_LOCK).select())
        yield
        connection.commit()

    def check(self, connection: Connection) -> Iterator[tuple[str, Callable[[], str]]]:
        """Refuse servers that are too old, and standbys."""

        def version() -> str:
            number = int(_setting(connection, "server_version_num"))
            if number < OLDEST:
                raise ConfigurationError(
                    f"PostgreSQL {number // 10_000} is too old; nothing was consumed. "
                    f"Use {OLDEST // 10_000} or newer."
                )
            return f"PostgreSQL {_setting(connection, 'server_version')}"

        def primary() -> str:
            if connection.execute(func.pg_is_in_recovery().select()).scalar_one():
                raise ConfigurationError(
                    "The PostgreSQL server is a standby, which cannot be written to; nothing was "
                    'consumed. Name all hosts and "target_session_attrs=read-write" in the URL.'
                )
            return "a primary"

        yield "version", version
        yield "primary", primary

    def roles(self, database: str) -> str:
        """Return the statements of an administrator."""
        tables = ", ".join(metadata.tables)
        return (
            f"CREATE ROLE ledger LOGIN PASSWORD '...';\n"
            f"GRANT CONNECT ON DATABASE {database} TO ledger;\n"
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO ledger;\n"
            f"GRANT USAGE ON SEQUENCE eoconsumer_dead_letters_id_seq TO ledger;\n"
            "-- and what your handler writes. Use one role for each group: a new owner ends the\n"
            "-- connection of one that hangs, and may do that to connections of its own role only."
        )


def _number(mark: str) -> int:
    """Return the key of the advisory lock for ``mark``: all 64 bits, with a sign."""
    return int.from_bytes(bytes.fromhex(mark), signed=True)


def _setting(connection: Connection, name: str) -> str:
    return str(connection.execute(func.current_setting(name).select()).scalar_one())
