"""What differs between the databases; all else is SQLAlchemy's business."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, Insert, Select, Table
from sqlalchemy.exc import SQLAlchemyError

#: How long a claim waits for a row that another transaction holds.
CLAIM_SECONDS = 0.25
#: How long the server waits for the next statement of a claim, before it ends its connection: a
#: process that is stopped in there holds rows that do not name it yet, so nobody could end it.
CLAIM_IDLE_SECONDS = 2

#: Makes the new value of a column from the one that an insert brought along.
Settle = Callable[[ColumnElement[Any]], ColumnElement[Any]]


class Database(Protocol):
    """One kind of database. A *mark* is a name that a reader's connection carries on the server.

    It is a lock that the connection holds: whoever finds the lock taken has found the connection,
    and nobody else, and once the lock is free, that connection's transaction is over.
    """

    #: Whether a stopped owner can be thrown out. If not, its open transaction holds up all others.
    ends_sessions: bool
    #: Whether two transactions can write at the same time.
    many_writers: bool
    #: Whether DDL ends a transaction without a word.
    implicit_commit: bool

    def is_absent(self, error: SQLAlchemyError) -> bool:
        """Whether nobody was there, or ready, to connect to: no matter of user or database."""

    def begin(self, level: str) -> str:
        """Return the statement that begins a transaction of the isolation ``level``."""

    def prepare(self, connection: Connection, mark: str) -> None:
        """Make ``connection`` fit for a reader and let it carry ``mark``.

        Raises ``TransientStoreError`` where another connection keeps it.
        """

    def end(self, connection: Connection, mark: str) -> bool:
        """End the connection that carries ``mark``; return whether there was one."""

    def claiming(self, connection: Connection) -> AbstractContextManager[None]:
        """Begin a transaction that waits for no lock longer than ``CLAIM_SECONDS``.

        Where the server can, it ends the connection that is idle in it for ``CLAIM_IDLE_SECONDS``.
        """

    def locked(self, rows: Select[Any], *, skip: bool) -> Select[Any]:
        """Lock ``rows``, or fail at once where another has; ``skip``: leave those out."""

    def insert_new(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> Insert:
        """Insert those of ``rows`` that are not there."""

    def insert_or(
        self, table: Table, rows: Sequence[Mapping[str, Any]], settle: Mapping[str, Settle]
    ) -> Insert:
        """Insert ``rows``; where one is there, set its columns.

        In the order of ``settle``: MariaDB reads in it what it has just written.
        """

    def last(self, text: ColumnElement[str], length: int) -> ColumnElement[str]:
        """Return the end of ``text``."""

    def alone(self, connection: Connection) -> AbstractContextManager[None]:
        """Do something that no other process does at the same time: change the schema."""

    def check(self, connection: Connection) -> Iterator[tuple[str, Callable[[], str]]]:
        """Yield what can be wrong with the server, as name and check; each tells what is right."""

    def roles(self, database: str) -> str:
        """Return statements that make a user who may do what the store does, and no more."""
