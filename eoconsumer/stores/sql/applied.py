"""The applied-log as rows."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from typing import Any

from sqlalchemy import Engine, Row, select, tuple_

from eoconsumer.core.applied import Applied
from eoconsumer.message import TopicPartition
from eoconsumer.stores.sql.connection import ReaderConnection
from eoconsumer.stores.sql.tables import applied as table
from eoconsumer.stores.sql.tables import now
from eoconsumer.stores.sql.translation import translated

#: How many lines are held in memory.
PAGE = 1_000
ORDER = (table.c.first_offset, table.c.epoch, table.c.line_number)


def find(
    engine: Engine, group: str, partition: TopicPartition, first: int, upto: int
) -> Generator[Applied, None, None]:
    """Read the lines that reach into the offsets from ``first`` to ``upto``, by their first."""
    lines = (
        select(table)
        .where(
            table.c.group_name == group,
            table.c.topic == partition.topic,
            table.c.partition_number == partition.partition,
            table.c.first_offset < upto,
            table.c.upto_offset > first,
        )
        .order_by(*ORDER)
        .limit(PAGE)
    )
    page = lines
    while True:
        with translated("read the applied-log"), engine.connect() as connection:
            rows = connection.execute(page).all()
        yield from map(_line, rows)
        if len(rows) < PAGE:
            return
        last = rows[-1]
        behind = tuple_(last.first_offset, last.epoch, last.line_number)
        page = lines.where(tuple_(*ORDER) > behind)


class AppliedLog:
    """What one reader writes to the applied-log of its group."""

    def __init__(self, connection: ReaderConnection, group: str) -> None:
        """Write through ``connection``."""
        self._connection = connection
        self._group = group

    def add(self, lines: Sequence[Applied]) -> None:
        """Write ``lines``, each once: outside of a transaction a write may be repeated."""
        rows = [self._row(line) for line in lines]
        if rows:
            statement = self._connection.database.insert_new(table, rows)
            with self._connection.work("write the applied-log") as connection:
                connection.execute(statement)

    def _row(self, line: Applied) -> dict[str, Any]:
        topic, partition = line.partition
        return {
            "group_name": self._group,
            "topic": topic,
            "partition_number": partition,
            "epoch": line.epoch,
            "line_number": line.number,
            "first_offset": line.first,
            "upto_offset": line.upto,
            "ranges": json.dumps(line.ranges),
            "passed": json.dumps(line.passed),
            "written_at": now(),
        }


def _line(row: Row[Any]) -> Applied:
    return Applied(
        TopicPartition(row.topic, row.partition_number),
        row.epoch,
        row.line_number,
        tuple((first, upto) for first, upto in json.loads(row.ranges)),
        tuple(json.loads(row.passed)),
    )
