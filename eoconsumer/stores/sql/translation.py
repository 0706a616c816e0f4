"""Errors of SQLAlchemy and its drivers, told in our words: another try, or the data's fault?

Decided by the SQLSTATE of PostgreSQL, the number of MariaDB and MySQL, and the code of SQLite,
found through the chain of causes, whatever driver raised it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from eoconsumer.errors import EOConsumerError, StoreError, TransientStoreError
from eoconsumer.stores.causes import asks_again, causes


class Kind(Enum):
    """What an error of a database asks for."""

    DATA = auto()  #: nothing: the statement or its data is wrong
    AGAIN = auto()  #: another try; the transaction is surely gone
    BLOCKED = auto()  #: another try, since somebody held a row for too long
    TOO_LONG = auto()  #: another try, since the server ended a statement that took too long
    LOST = auto()  #: the connection is gone, and with it the answer to what was sent


#: https://www.postgresql.org/docs/current/errcodes-appendix.html
POSTGRESQL = {
    "40001": Kind.AGAIN,  # serialization_failure
    "40P01": Kind.AGAIN,  # deadlock_detected
    "55P03": Kind.BLOCKED,  # lock_not_available
    "57014": Kind.TOO_LONG,  # query_canceled: a statement_timeout
    "57P01": Kind.LOST,  # admin_shutdown, also pg_terminate_backend
    "57P02": Kind.LOST,  # crash_shutdown
    "57P03": Kind.LOST,  # cannot_connect_now
    "57P05": Kind.LOST,  # idle_session_timeout
    "25P03": Kind.LOST,  # idle_in_transaction_session_timeout
    "25006": Kind.AGAIN,  # read_only_sql_transaction: a primary that has become a standby
}
POSTGRESQL_CLASSES = {"08": Kind.LOST, "53": Kind.AGAIN}  # connection, resources

#: https://mariadb.com/kb/en/mariadb-error-code-reference/ and MySQL's own
MYSQL = {
    1020: Kind.AGAIN,  # ER_CHECKREAD: changed since the snapshot (innodb_snapshot_isolation)
    1205: Kind.BLOCKED,  # ER_LOCK_WAIT_TIMEOUT
    3572: Kind.BLOCKED,  # ER_LOCK_NOWAIT (MySQL)
    1213: Kind.AGAIN,  # ER_LOCK_DEADLOCK
    1021: Kind.AGAIN,  # ER_DISK_FULL
    1040: Kind.AGAIN,  # ER_CON_COUNT_ERROR
    1290: Kind.AGAIN,  # ER_OPTION_PREVENTS_STATEMENT: --read-only, a primary no more
    1836: Kind.AGAIN,  # ER_READ_ONLY_MODE
    1053: Kind.LOST,  # ER_SERVER_SHUTDOWN
    1317: Kind.LOST,  # ER_QUERY_INTERRUPTED: by KILL
    1927: Kind.LOST,  # ER_CONNECTION_KILLED
    2002: Kind.LOST,
    2003: Kind.LOST,
    2006: Kind.LOST,
    2013: Kind.LOST,
    2055: Kind.LOST,
    4031: Kind.LOST,
}

#: https://www.sqlite.org/rescode.html
SQLITE = {
    5: Kind.BLOCKED,  # SQLITE_BUSY
    6: Kind.BLOCKED,  # SQLITE_LOCKED
    7: Kind.AGAIN,  # SQLITE_NOMEM
    10: Kind.LOST,  # SQLITE_IOERR: nobody knows what is on the disk
    13: Kind.AGAIN,  # SQLITE_FULL
    14: Kind.AGAIN,  # SQLITE_CANTOPEN
}


def kind_of(error: BaseException) -> Kind:
    """Return what ``error``, or what caused it, asks for."""
    kinds = [_kind(link) for link in causes(error)]
    return next((kind for kind in kinds if kind is not Kind.DATA), Kind.DATA)


def summary(error: BaseException) -> str:
    """Return what the database said, without the statement and its parameters."""
    told = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    lines = str(told).strip().splitlines() or [""]
    return f"{type(told).__name__}: {lines[0]}"[:500]


def transient(error: BaseException) -> TransientStoreError:
    """Return the error that asks for another try because of ``error``."""
    return asks_again(error, summary(error))


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise the store's errors for those of SQLAlchemy; ``what`` says what was not done."""
    try:
        yield
    except SQLAlchemyError as error:
        if kind_of(error) is not Kind.DATA:
            raise transient(error) from error
        raise StoreError(
            f"The database refused to {what}; no offset was committed. It said: {summary(error)}"
        ) from error


def _kind(error: BaseException) -> Kind:
    if isinstance(error, EOConsumerError):
        return Kind.AGAIN if isinstance(error, TransientStoreError) else Kind.DATA
    if isinstance(error, PoolTimeout):
        return Kind.AGAIN
    if isinstance(error, DBAPIError):
        inner = Kind.DATA if error.orig is None else _kind(error.orig)
        lost = error.connection_invalidated and inner is Kind.DATA
        return Kind.LOST if lost else inner
    driver = type(error).__module__.partition(".")[0]
    if driver in ("pymysql", "MySQLdb", "aiomysql", "asyncmy"):
        number = error.args[0] if error.args else None
        # pymysql says InterfaceError(0, "") of a connection that is closed already.
        return Kind.LOST if number == 0 else MYSQL.get(number or -1, Kind.DATA)
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if isinstance(state, str):
        return POSTGRESQL.get(state) or POSTGRESQL_CLASSES.get(state[:2], Kind.DATA)
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(code, int):
        return SQLITE.get(code & 0xFF, Kind.DATA)  # the rest is the extended code
    if driver == "psycopg" and type(error).__name__ == "OperationalError":
        return Kind.LOST  # libpq says so: no server has given it a code
    return Kind.DATA
