"""Statements whose parameters the driver can take as they are: those need no SQLAlchemy any more.

For each row of an executemany SQLAlchemy looks up every parameter, which takes longer than the
driver does. Where it would change none of them, its text goes to the driver with the rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import Delete, Executable, Insert, Update
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler

Row: TypeAlias = tuple[Any, ...]

_NAMED = re.compile(r"%\((\w+)\)s")

#: The statements that are made once and used for every message, and a few more.
KNOWN = 100


class Plain(NamedTuple):
    """A statement as the driver takes it; ``names`` is the order of its parameters."""

    text: str
    names: tuple[str, ...]

    def ordered(self, names: tuple[str, ...], rows: list[Row]) -> list[Row]:
        """Return ``rows``, whose values have the order of ``names``, as the driver takes them."""
        if names == self.names:
            return rows
        return rows_of([names.index(name) for name in self.names], rows)


def rows_of(keys: Sequence[Any], found: Iterable[Any]) -> list[Row]:
    """Return the values that each of ``found`` has at ``keys``. Raises ``KeyError``."""
    if len(keys) == 1:
        return [(each[keys[0]],) for each in found]
    return [*map(itemgetter(*keys), found)]


def plain_text(statement: Executable, names: Iterable[str], dialect: Dialect) -> Plain | None:
    """Return ``statement`` for parameters of these ``names``; None if SQLAlchemy has more to do.

    That is: defaults of columns, values in the statement, types that convert, lists, options.
    """
    if not isinstance(statement, Insert | Update | Delete) or statement.get_execution_options():
        return None
    return _plain(statement, frozenset(names), dialect)


@lru_cache(maxsize=KNOWN)
def _plain(
    statement: Insert | Update | Delete, keys: frozenset[str], dialect: Dialect
) -> Plain | None:
    compiled = statement.compile(dialect=dialect, column_keys=sorted(keys))
    assert isinstance(compiled, SQLCompiler)
    binds = compiled.bind_names
    if (
        not keys
        or set(binds.values()) != keys
        or compiled.insert_prefetch
        or compiled.update_prefetch
    ):
        return None
    if compiled.post_compile_params or compiled.literal_execute_params:
        return None
    if compiled.effective_returning or any(_converts(bind.type, dialect) for bind in binds):
        return None
    if compiled.escaped_bind_names:
        return None
    if compiled.positional:
        return Plain(str(compiled), tuple(compiled.positiontup or ()))
    # Drivers that take names take places as well, and are quicker with them.
    names = tuple(_NAMED.findall(str(compiled)))
    return Plain(_NAMED.sub("%s", str(compiled)), names) if set(names) == keys else None


def _converts(kind: Any, dialect: Dialect) -> bool:
    return kind.dialect_impl(dialect).bind_processor(dialect) is not None
