"""Looks at a SQL database while the run goes on; see ``tests/chaos/observer.py``."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Row,
    and_,
    column,
    create_engine,
    func,
    or_,
    select,
    table,
)
from sqlalchemy.exc import SQLAlchemyError

from tests.chaos.journal import Journal
from tests.chaos.observer import EFFECTS, EVERY, LETTERS, OFFSETS, Changes, Place, Snapshots
from tests.chaos.sql.tables import changes

POLL = 0.1  # seconds
#: So many lines may be committed before one with a lower number.
LATE = 1000
#: All that is read in one transaction is of one moment.
BEGIN = {
    "postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    "mysql": "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    "mariadb": "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    "sqlite": "BEGIN",
}
#: Effects and letters have other names for the same columns.
COUNTED = {
    EFFECTS: table(EFFECTS, *map(column, ("topic", "partition", "offset"))),
    LETTERS: table(LETTERS, *map(column, ("topic", "partition_number", "offset_number"))),
}
ROWS = table(OFFSETS, *map(column, ("topic", "partition_number", "next_offset", "epoch")))


def looking(url: str) -> Engine:
    """Return an engine whose connections are looked after when a server came back."""
    return create_engine(url, isolation_level="AUTOCOMMIT", pool_pre_ping=True)


class SQLSnapshots(Snapshots):
    """One line for each snapshot of the positions, and of what is there since."""

    def __init__(self, url: str, journal: Journal) -> None:
        super().__init__(url, "", journal)

    def _observe(self) -> None:
        seen: dict[Place, int] = {}
        engine = looking(self._url)
        while not self._stopping.wait(EVERY):
            try:
                with engine.connect() as connection:
                    seen = self._snap(connection, seen)
            except SQLAlchemyError as error:  # the server is away: the next look will do
                self._journal.write("blind", error=type(error).__name__)
        engine.dispose()

    def _snap(self, connection: Connection, seen: dict[Place, int]) -> dict[Place, int]:
        begun = time.monotonic()
        connection.exec_driver_sql(BEGIN[connection.dialect.name])
        at = {(row.topic, row.partition_number): row for row in connection.execute(select(ROWS))}
        counted = {
            name: _counted(connection, rows, {place: seen.get(place, 0) for place in at})
            for name, rows in COUNTED.items()
        }
        connection.rollback()
        found = {place: (row.next_offset, row.epoch) for place, row in at.items()}
        return self._tell(begun, found, seen, counted)


def _counted(connection: Connection, rows: Any, since: dict[Place, int]) -> dict[Place, Any]:
    topic, partition, offset = rows.c
    wanted = [and_(topic == t, partition == p, offset >= o) for (t, p), o in since.items()]
    if not wanted:
        return {}
    counts = (
        select(topic, partition, func.count(), func.max(offset))
        .where(or_(*wanted))
        .group_by(topic, partition)
    )
    return {(t, p): {"count": n, "last": last} for t, p, n, last in connection.execute(counts)}


class SQLChanges(Changes):
    """Follows the trail that the triggers write."""

    def __init__(self, url: str, journal: Journal) -> None:
        super().__init__(url, "", journal)
        self._read_upto: dict[Place, int] = {}  # the last line of each row's trail
        self._last: dict[Place, tuple[int, int]] = {}  # epoch and position, as it says

    def _follow(self) -> None:
        engine = looking(self._url)
        self.ready.set()
        ending = False
        while not ending:
            ending = self._stopping.wait(POLL)  # once more then: what came last counts
            try:
                with engine.connect() as connection:
                    self._read_trail(connection)
            except SQLAlchemyError:
                continue
        engine.dispose()

    def _read_trail(self, connection: Connection) -> None:
        """Read what is new of each row's trail.

        Not what is new of all of it: a transaction may take its number first, and commit last.
        """
        upto = min(self._read_upto.values(), default=0) - LATE
        new = select(changes).where(changes.c.id > upto).order_by(changes.c.id)
        for line in connection.execute(new):
            place = line.topic, line.partition_number
            if line.id > self._read_upto.get(place, 0):
                self._read_upto[place] = line.id
                self._note_line(place, line)

    def _note_line(self, place: Place, line: Row[Any]) -> None:
        if self._last.get(place, (0, 0)) != (line.old_epoch, line.old_next):
            self._journal.write("stream lost", error=f"{place} was {line.old_epoch}")
        self._last[place] = line.epoch, line.next_offset
        fields: dict[str, Any] = {}
        if line.epoch != line.old_epoch:
            fields["epoch"] = line.epoch
        if line.next_offset != line.old_next:
            fields["next_offset"] = line.next_offset
        if line.session and line.session != line.old_session:
            fields["lsid"] = line.session
        removed = ["lsid"] if line.old_session and not line.session else []
        if fields or removed:
            at = line.wall + time.monotonic() - time.time()
            self._record("update", at, place, fields, removed, line.writer)
