"""The driver's own cursor, for what goes past SQLAlchemy; its errors come out as SQLAlchemy's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError


@contextmanager
def cursor_for(connection: Connection, text: str) -> Iterator[Any]:
    """Give a cursor for the statement ``text``. Raises ``DBAPIError``, which quotes no values."""
    with errors_as_sqlalchemy(connection, text):
        cursor: Any = connection.connection.cursor()
        with cursor:
            yield cursor


@contextmanager
def errors_as_sqlalchemy(connection: Connection, text: str) -> Iterator[None]:
    """Let the driver's errors at the statement ``text`` come out as ``DBAPIError``."""
    dialect = connection.dialect
    driver: Any = dialect.dbapi
    try:
        yield
    except driver.Error as error:
        lost = dialect.is_disconnect(error, connection.connection.driver_connection, None)
        raise DBAPIError.instance(
            text,
            None,
            error,
            driver.Error,
            hide_parameters=True,
            connection_invalidated=lost,
            dialect=dialect,
        ) from error
