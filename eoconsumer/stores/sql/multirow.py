"""Rows of inserts for MariaDB and MySQL: many in one statement, put together at once.

That is what ``executemany`` of their drivers sends, too; but it puts each row into text and bytes
on its own, which takes more than twice the time. The driver still turns what needs an escape
into SQL.

https://mariadb.com/kb/en/insert/
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection

from eoconsumer.stores.sql.driver import cursor_for
from eoconsumer.stores.sql.plain import KNOWN, Row, rows_of

#: Whose cursors put values into the text on their own, and show it: ``mogrify``.
DRIVERS = ("pymysql",)

#: Rows of a statement: of the first one, while nothing is known of their length, and at most.
FIRST, MOST = 100, 1_000

#: Bytes of a statement, as PyMySQL has it; servers take 16 MB (``max_allowed_packet``).
LONGEST = 1_024_000

DRIVER = "%%s"
#: What a text may have that is in SQL what it is in Python.
PLAIN = bytes(sorted({*range(0x20, 0x7F)} - {*b"'\\%"}))

_INSERT = re.compile(r"(INSERT [^%]+ VALUES )(\(%s(?:, %s)*\))((?:[^%]|%%)*)", re.DOTALL)


def inserted(connection: Connection, text: str, rows: Sequence[Row]) -> bool:
    """Send ``rows`` of the statement ``text``; return False where that is not for them.

    Raises ``DBAPIError``.
    """
    insert = _insert(text) if connection.dialect.driver in DRIVERS else None
    if insert is None:
        return False
    begin, count = 0, FIRST
    with cursor_for(connection, text) as cursor:
        while some := rows[begin : begin + count]:
            query = cursor.mogrify(*insert.of(some))
            length = len(query.encode("utf-8", "surrogatepass"))
            if length > LONGEST:
                cursor.executemany(text, some)  # it knows where to stop
            else:
                cursor.execute(query)
            begin += len(some)
            count = min(MOST, max(1, LONGEST // 2 * len(some) // length))
    return True


class _Insert(NamedTuple):
    """An insert of one row: the text before its values, how many they are, the text behind them."""

    head: str
    width: int
    tail: str

    def of(self, rows: Sequence[Row]) -> tuple[str, list[Any]]:
        """Return the insert of all ``rows``, and the values that the driver has to put into it.

        What needs no driver is in it already: that takes most of the time for a row.
        """
        forms = [_form([*map(itemgetter(place), rows)]) for place in range(self.width)]
        here = [place for place, form in enumerate(forms) if form != DRIVER]
        driver = [place for place, form in enumerate(forms) if form == DRIVER]
        row = f"({', '.join(forms)})"
        values = ", ".join([row] * len(rows)) % (*_flat(here, rows),)
        return f"{self.head}{values}{self.tail}", _flat(driver, rows)


def _form(values: Sequence[Any]) -> str:
    """Return what ``values`` of one column are put in by.

    Whole numbers are in SQL what they are in Python. So is a text between quotes of ASCII
    characters that can be printed, but for the quote, the backslash, and the driver's own ``%``:
    whatever the mode of the server and the character set of the connection are.
    """
    kinds = {*map(type, values)}
    if kinds == {int}:
        return "%s"
    if kinds == {str}:
        text = "".join(values)
        if text.isascii() and not text.encode().translate(None, PLAIN):
            return "'%s'"
    return DRIVER


@lru_cache(maxsize=KNOWN)
def _insert(text: str) -> _Insert | None:
    found = _INSERT.fullmatch(text)
    return _Insert(found[1], found[2].count("%s"), found[3]) if found else None


def _flat(places: Sequence[int], rows: Sequence[Row]) -> list[Any]:
    return [*chain.from_iterable(rows_of(places, rows))] if places else []
