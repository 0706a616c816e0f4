"""Rows of pure inserts, by PostgreSQL's COPY: that takes a quarter of what executemany takes.

Only where it comes to the same: values that have one meaning as text, whatever their column is. It
knows no rewrite rules and no views; a table that does not take it gets executemany from then on.

https://www.postgresql.org/docs/current/sql-copy.html
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from types import NoneType
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from eoconsumer.stores.sql.plain import KNOWN

#: Below that a COPY, which takes a round trip more, gains nothing.
FEWEST = 50

_VALUE = r"%s(?:::([A-Z ]+))?"
_INSERT = re.compile(rf"INSERT INTO (\S+) \(([^()]+)\) VALUES \({_VALUE}(?:, {_VALUE})*\)")
_CASTS = re.compile(_VALUE)

#: By the type that SQLAlchemy casts a parameter to: the values that are the same as text.
_SAME: dict[str, set[type]] = {
    "SMALLINT": {int, NoneType},
    "INTEGER": {int, NoneType},
    "BIGINT": {int, NoneType},
    "VARCHAR": {str, NoneType},
    # Not cast: numbers with a fraction. (A float would be rounded on its way into a numeric.)
    "": {int, Decimal, NoneType},
}
_REFUSED = "eoconsumer_no_copy"  # in what SQLAlchemy keeps for each connection of the driver


def copied(connection: Connection, text: str, rows: Sequence[tuple[Any, ...]]) -> bool:
    """Send ``rows`` of the statement ``text`` by COPY; return False where that is not for them.

    Raises ``DBAPIError``.
    """
    dialect = connection.dialect
    if dialect.driver != "psycopg" or dialect.is_async or len(rows) < FEWEST:
        return False
    target = _target(text)
    if target is None or text in connection.info.get(_REFUSED, ()):
        return False
    command, kinds = target
    if not all({*map(type, values)} <= same for same, values in zip(kinds, zip(*rows))):  # noqa: B905 - by the statement
        return False
    driver: Any = dialect.dbapi
    try:
        cursor: Any = connection.connection.cursor()
        with cursor, cursor.copy(command) as copy:
            for row in rows:
                copy.write_row(row)
    except driver.Error as error:
        lost = dialect.is_disconnect(error, connection.connection.driver_connection, None)
        raise DBAPIError.instance(
            command,
            None,
            error,
            driver.Error,
            hide_parameters=True,
            connection_invalidated=lost,
            dialect=dialect,
        ) from error
    return True


def never_copy(connection: Connection, text: str) -> None:
    """Remember that the table of ``text`` takes no COPY."""
    connection.info.setdefault(_REFUSED, set()).add(text)


@lru_cache(maxsize=KNOWN)
def _target(text: str) -> tuple[str, list[set[type]]] | None:
    """Return the command for a plain insert, and the types that its values may have."""
    found = _INSERT.fullmatch(text)
    if found is None:
        return None
    kinds = [_SAME.get(cast) for cast in _CASTS.findall(found[0].partition(" VALUES ")[2])]
    if None in kinds:
        return None
    return f"COPY {found[1]} ({found[2]}) FROM STDIN", [kind for kind in kinds if kind]
