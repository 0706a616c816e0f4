"""A reader's connection: one for as long as it lasts, and another when it was lost."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from eoconsumer.errors import StoreError
from eoconsumer.stores.sql.database import Database
from eoconsumer.stores.sql.guard import Guard, ReaderSession
from eoconsumer.stores.sql.translation import summary, translated

log = logging.getLogger(__name__)


class ReaderConnection:
    """The connection, the session on it, and the mark by which others can end it.

    The driver is in autocommit mode, and a transaction begins and ends with statements of ours, so
    that outside of one each write is durable by itself. The mark stays when the connection changes:
    once the new one carries it, the transaction of the old one is over, committed or not.
    """

    def __init__(self, engine: Engine, database: Database) -> None:
        """Connect at the first use."""
        self.engine = engine
        self.database = database
        self.mark = secrets.token_hex(8)
        self.guard = Guard(implicit=database.implicit_commit)
        self._begin = ""
        self._opened = False
        self._connection: Connection | None = None
        self._session: ReaderSession | None = None

    @property
    def live(self) -> Connection:
        """The connection; opened anew where it was lost. Raises ``TransientStoreError``."""
        if self._connection is None or self._connection.invalidated or self._connection.closed:
            self._open()
        assert self._connection is not None
        return self._connection

    @property
    def session(self) -> ReaderSession:
        """The session outside of transactions: each of its writes commits on its own."""
        if self._session is not None and not self._session.is_active:  # a flush failed in it
            self.forget_session()
        if self._session is None:
            self._session = ReaderSession(lambda: self.live, self.guard)
        return self._session

    @contextmanager
    def work(self, what: str) -> Iterator[Connection]:
        """Give the connection for statements of the store itself; translate their errors.

        Outside of a transaction each of them commits, and so does what the handler has left.
        """
        with translated(what):
            if self.guard.watching:
                yield self.live
                return
            self.settle()
            with self.live.begin():
                yield self.live

    def flush(self) -> None:
        """Write what the handler left in its session; raises the errors of SQLAlchemy."""
        session = self._session
        if session is None:
            return
        if not session.is_active:  # a flush failed, and the handler went on with half of it
            session.connection()  # says so
        session.flush()

    def settle(self) -> None:
        """End what the session outside of a transaction has begun: our own statements come now.

        Raises ``StoreError``, never that there may be another try, where objects are in it that
        cannot be written: they are lost with it, so nothing that was done since the last stored
        position may count.
        """
        session = self._session
        if session is not None:
            left = any((session.new, session.dirty, session.deleted))
            try:
                if left or session.is_active:
                    session.commit()
                else:
                    self.forget_session()
            except BaseException as error:
                self.forget_session()
                if not (left and isinstance(error, SQLAlchemyError)):
                    raise
                raise StoreError(
                    "What was left in the session could not be written; no offset was stored, and "
                    "the messages since the last stored one are read again. The database said: "
                    f"{summary(error)}"
                ) from error
        if self._connection is not None and self._connection.in_transaction():
            self._connection.rollback()  # of SQLAlchemy only: the database knows of none

    def begin(self) -> None:
        """Begin a transaction; from here on the guard watches."""
        with translated("begin a transaction"):
            self.settle()
            self.forget_session()
            try:
                self.live.exec_driver_sql(self._begin)
            except SQLAlchemyError:
                self.roll_back()
                raise
        self.guard.watch()

    @contextmanager
    def claiming(self) -> Iterator[Connection]:
        """Begin a transaction that waits for nobody for long; commit it, or roll it back."""
        self.settle()
        connection = self.live
        try:
            with self.database.claiming(connection):
                yield connection
            connection.commit()
        except BaseException:
            self.roll_back()
            raise

    def roll_back(self) -> None:
        """Roll back what is open; a connection that cannot is dropped, and with it all of it."""
        self.guard.watching = False
        if self._connection is None:
            return
        try:
            self._connection.rollback()
        except SQLAlchemyError:
            self.drop()

    def end(self, mark: str, why: str) -> None:
        """End the connection of a former owner, through one of its own."""
        try:
            with (
                translated("end the connection of a former owner"),
                self.engine.connect() as outside,
            ):
                outside = outside.execution_options(isolation_level="AUTOCOMMIT")
                ended = self.database.end(outside, mark)
        except StoreError as error:  # the connection of another user is not ours to end
            log.warning("Could not end the connection of a former owner, which %s: %s", why, error)
        else:
            if ended:
                log.warning("Ended the connection of a former owner, which %s", why)

    def close(self) -> None:
        """Give the connection up; what is open is rolled back."""
        self.forget_session()
        self.roll_back()
        self.drop()

    def drop(self) -> None:
        """Close the connection; the next use opens another.

        The session stays: it may be what asks for the other one, with objects to write in it.
        """
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.invalidate()  # what was set on it is not for others of the pool
                connection.close()

    def forget_session(self) -> None:
        """Give up the session outside of a transaction, with all that it has not written."""
        session, self._session = self._session, None
        if session is not None:
            with suppress(Exception):
                session.close()

    # --- inside -----------------------------------------------------------------------------

    def _open(self) -> None:
        self.drop()
        with translated("connect"):
            if self._opened:
                # 1. our network is cut, 2. the server does not know, and our transaction stays
                # open there, with its locks: nobody but us would come to end it.
                self.end(self.mark, "is our own former one")
            connection = self.engine.connect()
            try:
                if not self._begin:
                    level = connection.get_isolation_level()
                    known = connection.default_isolation_level or ""
                    self._begin = self.database.begin(known if level == "AUTOCOMMIT" else level)
                    connection.rollback()
                connection.execution_options(isolation_level="AUTOCOMMIT")
                self.database.prepare(connection, self.mark)
                connection.commit()
            except BaseException:
                connection.invalidate()
                connection.close()
                raise
        self.guard.listen(connection)
        self._connection, self._opened = connection, True
