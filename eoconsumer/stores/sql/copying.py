"""Rows of pure inserts, by PostgreSQL's COPY: that takes a quarter of what executemany takes.

Only where it comes to the same: plain tables, and values that have one meaning as text, whatever
their column is. A table that refuses it all the same gets executemany from then on.

https://www.postgresql.org/docs/current/sql-copy.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import lru_cache, partial
from operator import itemgetter
from types import NoneType
from typing import Any, NamedTuple

from sqlalchemy import Connection

from eoconsumer.stores.sql.driver import errors_as_sqlalchemy
from eoconsumer.stores.sql.plain import KNOWN, Row

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
_TAKES = "eoconsumer_takes_copy"  # in what SQLAlchemy keeps for each connection of the driver
#: Rules are not asked by COPY, and row-level security and views are not for it. It puts values into
#: columns that are GENERATED ALWAYS AS IDENTITY, which an insert must not.
_PLAIN_TABLE = """
SELECT relkind IN ('r', 'p') AND NOT relhasrules AND NOT relrowsecurity
  AND NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = pg_class.oid AND attidentity = 'a')
FROM pg_class WHERE oid = to_regclass(%s)
"""


def copied(connection: Connection, text: str, rows: Sequence[Row]) -> bool:
    """Send ``rows`` of the statement ``text`` by COPY; return False where that is not for them.

    Raises ``DBAPIError``.
    """
    dialect = connection.dialect
    if dialect.driver != "psycopg" or len(rows) < FEWEST:
        return False
    target = _target(text)
    if target is None or not _takes_copy(connection, text, target.table):
        return False
    command, kinds = target.command, target.kinds
    # By column, without zip(*rows): that makes an iterator for each row, all at once, and the
    # garbage collector would visit them.
    if not all(
        {*map(type, map(itemgetter(place), rows))} <= same for place, same in enumerate(kinds)
    ):
        return False
    with errors_as_sqlalchemy(connection, command):
        driver: Any = connection.connection
        if dialect.is_async:
            driver.run_async(partial(_copy_awaiting, command=command, rows=rows))
        else:
            _copy(driver, command, rows)
    return True


def _copy(driver: Any, command: str, rows: Iterable[Row]) -> None:
    with driver.cursor() as cursor, cursor.copy(command) as copy:
        for row in rows:
            copy.write_row(row)


async def _copy_awaiting(driver: Any, command: str, rows: Iterable[Row]) -> None:
    async with driver.cursor() as cursor, cursor.copy(command) as copy:
        for row in rows:
            await copy.write_row(row)


def never_copy(connection: Connection, text: str) -> None:
    """Remember that the table of ``text`` takes no COPY."""
    connection.info.setdefault(_TAKES, {})[text] = False


def _takes_copy(connection: Connection, text: str, table: str) -> bool:
    known: dict[str, bool] = connection.info.setdefault(_TAKES, {})
    if text not in known:
        known[text] = bool(connection.exec_driver_sql(_PLAIN_TABLE, (table,)).scalar())
    return known[text]


class _Target(NamedTuple):
    """Where rows go, by which command, and which types their values may have."""

    table: str
    command: str
    kinds: list[set[type]]


@lru_cache(maxsize=KNOWN)
def _target(text: str) -> _Target | None:
    """Return what a plain insert comes to; None for any other statement."""
    found = _INSERT.fullmatch(text)
    if found is None:
        return None
    casts = _CASTS.findall(text.partition(") VALUES ")[2])
    if not all(cast in _SAME for cast in casts):
        return None
    command = f"COPY {found[1]} ({found[2]}) FROM STDIN"
    return _Target(found[1], command, [_SAME[cast] for cast in casts])
