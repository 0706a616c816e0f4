"""Taking rows over: one transaction, and another where a former owner is in the way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, case, select, update
from sqlalchemy.exc import SQLAlchemyError

from eoconsumer.core.positions import Claims, Start
from eoconsumer.errors import TransientStoreError
from eoconsumer.message import TopicPartition
from eoconsumer.stores.sql.connection import ReaderConnection
from eoconsumer.stores.sql.database import Settle
from eoconsumer.stores.sql.quarantine import Quarantine
from eoconsumer.stores.sql.rows import LANE, Offsets, position
from eoconsumer.stores.sql.tables import now, offsets, topics
from eoconsumer.stores.sql.translation import Kind, kind_of, translated

#: How many former owners a row remembers, and how long their marks are with a blank each.
FORMERS = 4
MARK = 17

#: A statement has at most 32,766 parameters (SQLite); a row takes 13 of them.
ROWS = 2_000

Starts = Mapping[TopicPartition, Start]


class Claimer:
    """Claims rows for one reader."""

    def __init__(
        self, connection: ReaderConnection, rows: Offsets, quarantine: Quarantine, owner: str
    ) -> None:
        """Claim for ``owner``; nothing is claimed yet."""
        self._connection = connection
        self._rows = rows
        self._quarantine = quarantine
        self._owner = owner
        # Of owners that did not let go: they may hang inside a transaction.
        self._formers: set[str] = set()

    def claim(self, partitions: Sequence[TopicPartition], starts: Starts) -> Claims:
        """Raise the epochs, own the rows, and return what is ours afterwards."""
        if not partitions:  # a cooperative rebalance may assign nothing
            return Claims({})
        with translated("claim partitions"):
            try:
                return self._take(partitions, starts)
            except SQLAlchemyError as error:
                if kind_of(error) is not Kind.BLOCKED:
                    raise
            self._free(partitions)
            return self._take(partitions, starts)

    def _take(self, partitions: Sequence[TopicPartition], starts: Starts) -> Claims:
        keys, place = sorted(partitions), self._rows.these(partitions)
        with self._connection.claiming() as connection:
            self._make_rows(connection, starts)
            # All claimers lock in this order, so that they do not lock each other out.
            order = offsets.c.topic, offsets.c.partition_number
            connection.execute(
                select(offsets.c.lane).where(place).order_by(*order).with_for_update()
            )
            connection.execute(update(offsets).where(place).ordered_values(*self._owned()))
            rows = self._rows.read(connection, place)
            known = connection.execute(
                select(topics.c.topic, topics.c.partitions).where(
                    topics.c.group_name == self._rows.group,
                    topics.c.topic.in_({key.topic for key in keys}),
                )
            ).all()
            # Behind the claim: what a former owner still commits after this is refused.
            held = self._quarantine.keys(connection) if rows else {}
        self._remember(mark for row in rows.values() for mark in row.formers.split())
        positions = {
            key: replace(position(row), quarantined=held.get(key, frozenset()))
            for key, row in rows.items()
        }
        return Claims(positions, {row.topic: row.partitions for row in known})

    def _owned(self) -> list[tuple[Any, Any]]:
        """Return what a claim writes, in this order: MariaDB reads what it has just written."""
        mark, session, formers = self._connection.mark, offsets.c.session, offsets.c.formers
        more = self._connection.database.last(formers + " " + session, FORMERS * MARK)
        return [
            (formers, case((session.in_(["", mark]), formers), else_=more)),
            (offsets.c.epoch, offsets.c.epoch + 1),
            (offsets.c.owner, self._owner),
            (session, mark),
            (offsets.c.updated_at, now()),
        ]

    def _make_rows(self, connection: Connection, starts: Starts) -> None:
        """Make the rows that are missing, and move those whose epoch a start ``replaces``.

        The epoch that it replaces comes with the insert: a row that is not there counts as having
        it, and of one that is there, it is compared. It is raised afterwards, with all others.
        """
        made = [self._row(key, starts[key]) for key in sorted(starts)]
        settle = {name: _if_it_fits(name) for name in _FROM_START}
        database = self._connection.database
        for first in range(0, len(made), ROWS):
            connection.execute(database.insert_or(offsets, made[first : first + ROWS], settle))
        counts = {key.topic: start.partitions for key, start in starts.items() if start.partitions}
        if counts:
            group = self._rows.group
            known = [
                {"group_name": group, "topic": topic, "partitions": counts[topic]}
                for topic in sorted(counts)
            ]
            connection.execute(database.insert_new(topics, known))

    def _row(self, key: TopicPartition, start: Start) -> dict[str, Any]:
        return {
            "group_name": self._rows.group,
            "topic": key.topic,
            "partition_number": key.partition,
            "lane": LANE,
            "next_offset": start.next_offset,
            "epoch": start.replaces or 0,
            "owner": "",
            "session": "",
            "formers": "",
            "handed_over": start.handed_over,
            "topic_id": start.identity.topic_id,
            "cluster_id": start.identity.cluster_id,
            "leader_epoch": start.leader_epoch,
            "updated_at": now(),
        }

    # --- former owners ----------------------------------------------------------------------

    def end_formers(self) -> None:
        """End the connections of owners that did not let go, since what they wrote is in our way.

        1. A process is stopped in a transaction in which the handler has written, and which has
        not advanced. 2. Nothing of it holds the row, so our claim is not blocked. 3. Our handler
        writes to the same rows, and waits in vain.
        """
        formers, self._formers = self._formers, set()
        for mark in formers:
            self._connection.end(mark, "held rows of the handler")

    def _free(self, partitions: Sequence[TopicPartition]) -> None:
        """End the connections of those who may hold the rows that are locked.

        1. A process is stopped, or cut off, in a transaction that has advanced. 2. The server
        keeps that transaction, and its lock on the row, for as long as the connection lasts.
        3. Kafka gives the partition to us.
        """
        database = self._connection.database
        if not database.ends_sessions:
            raise TransientStoreError(
                "Another process is writing to the database; nothing was claimed. It is tried "
                "again when that one is done."
            )
        place = self._rows.these(partitions)
        with self._connection.claiming() as connection:
            rows = self._rows.read(connection, place)
            keys = select(offsets.c.topic, offsets.c.partition_number).where(place)
            found = connection.execute(database.locked(keys, skip=True)).all()
        for key in rows.keys() - {TopicPartition(*row) for row in found}:
            marks = {rows[key].session, *rows[key].formers.split()} - {"", self._connection.mark}
            for mark in marks:
                self._connection.end(mark, f"held {key}")

    def _remember(self, marks: Iterable[str]) -> None:
        self._formers.update(marks)
        self._formers.discard(self._connection.mark)


#: The columns that a start fills.
_FROM_START = ("next_offset", "handed_over", "topic_id", "cluster_id", "leader_epoch")


def _if_it_fits(name: str) -> Settle:
    """Return what sets a column where the row has the epoch that came with the insert."""
    column = offsets.c[name]

    def settle(new: Any) -> Any:
        return case((offsets.c.epoch == new.table.c.epoch, new), else_=column)

    return settle
