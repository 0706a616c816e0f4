"""The marks that a user's own rows carry: which message each of them came from."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    Integer,
    Select,
    String,
    column,
    inspect,
    null,
    select,
    table,
)

from eoconsumer.core.verify import Mark, Marker
from eoconsumer.errors import ConfigurationError
from eoconsumer.message import TopicPartition
from eoconsumer.stores.sql.translation import translated

#: How many rows are held in memory.
PAGE = 1_000


def find(
    engine: Engine, marker: Marker, partition: TopicPartition, first: int, upto: int
) -> Generator[Mark, None, None]:
    """Read the marks of a user's rows in the order of their offsets, from one snapshot.

    Raises ``ConfigurationError`` where there is no such table, or a column is missing.
    """
    with translated("read the rows"), engine.connect() as connection:
        _check(connection, marker)
        paged = connection.execution_options(yield_per=PAGE)
        with paged.execute(_marked(marker, partition, first, upto)) as rows:
            for topic, offset, order, line in rows:
                # To some collations "Orders" is "orders"; a CHAR column comes with blanks.
                if not isinstance(topic, str) or topic.rstrip(" ") == partition.topic:
                    yield Mark(int(offset), order, _hashable(line))


def _marked(marker: Marker, partition: TopicPartition, first: int, upto: int) -> Select[Any]:
    """Select topic, offset, order and line as the driver has them: what is compared has a type."""
    offset = column(marker.offset, BigInteger)
    others = [column(each) if each else null() for each in (marker.order, marker.line)]
    columns: list[ColumnElement[Any]] = [column(marker.topic, String), offset, *others]
    schema, _, name = marker.collection.rpartition(".")
    return (
        select(*columns)
        .select_from(table(name, schema=schema or None))
        .where(
            column(marker.topic, String) == partition.topic,
            column(marker.partition, Integer) == partition.partition,
            offset >= first,
            offset < upto,
        )
        .order_by(offset)
    )


def _check(connection: Connection, marker: Marker) -> None:
    schema, _, name = marker.collection.rpartition(".")
    inspector = inspect(connection)
    if not inspector.has_table(name, schema or None):
        raise ConfigurationError(
            f"The database has no table {marker.collection!r}; nothing was compared. Check "
            "--collection (TABLE or SCHEMA.TABLE) and the database of the URL."
        )
    there = {each["name"] for each in inspector.get_columns(name, schema or None)}
    missing = [each for each in marker[1:] if each and each not in there]
    if missing:
        raise ConfigurationError(
            f"The table {marker.collection!r} has no column {', '.join(missing)}; nothing was "
            f"compared. It has: {', '.join(sorted(there))}. Check the options for the fields."
        )


def _hashable(value: object) -> object:
    """Return a line's name so that equal ones are counted, whatever the driver makes of it."""
    return value if isinstance(value, int | str | None) else repr(value)
