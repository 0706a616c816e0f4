"""Taking rows over: one transaction, and another where a former owner is in the way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from eoconsumer.core.positions import Claims
from eoconsumer.errors import TransientStoreError
from eoconsumer.message import TopicPartition
from eoconsumer.stores.sql.connection import ReaderConnection
from eoconsumer.stores.sql.lanes import ahead, under_their_claim
from eoconsumer.stores.sql.quarantine import Quarantine
from eoconsumer.stores.sql.rows import Offsets, partition_of, position
from eoconsumer.stores.sql.statements import Starts, Statements
from eoconsumer.stores.sql.tables import offsets, topics
from eoconsumer.stores.sql.translation import Kind, kind_of, translated

#: By the marks of the connections that this process has open: the readers that have them.
Open = dict[str, str]


class Claimer:
    """Claims rows for one reader, or for one of its lanes."""

    def __init__(
        self,
        connection: ReaderConnection,
        rows: Offsets,
        quarantine: Quarantine,
        owner: str,
        connections: Open,
    ) -> None:
        """Claim for ``owner``, whose ``connection`` is one of ``connections``."""
        self._connection = connection
        self._rows = rows
        self._quarantine = quarantine
        self._statements = Statements(connection, rows, owner)
        # Of owners that did not let go: they may hang inside a transaction.
        self._formers: set[str] = set()
        self._reader = rows.lane.reader(owner)
        self._connections = connections
        connections[connection.mark] = self._reader

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
            self._free(partitions, starts)
            return self._take(partitions, starts)

    def _take(self, partitions: Sequence[TopicPartition], starts: Starts) -> Claims:
        rows, of_a_lane = self._rows, self._rows.lane.number > 0
        with self._connection.claiming() as connection:
            if of_a_lane:
                partitions = self._take_lanes(connection, starts)
                if not partitions:
                    return Claims({})
            else:
                self._take_wholes(connection, partitions, starts)
            everything = rows.with_lanes(partitions)
            found = rows.read(connection, everything)
            ours = rows.ours(found)
            if not of_a_lane and ours and len(found) > len(ours):
                connection.execute(self._statements.fence_lanes(ours))
                found = rows.read(connection, everything)  # they may have moved until then
            known = connection.execute(
                select(topics.c.topic, topics.c.partitions).where(
                    topics.c.group_name == rows.group,
                    topics.c.topic.in_({key.topic for key in partitions}),
                )
            ).all()
            # Behind the claim: what a former owner still commits after this is refused.
            held = self._quarantine.keys(connection) if ours else {}
        self._remember(mark for row in found for mark in row.formers.split())
        done = {} if of_a_lane else ahead(ours, found)
        positions = {
            key: replace(
                position(row), quarantined=held.get(key, frozenset()), ahead=done.get(key, ())
            )
            for key, row in ours.items()
        }
        return Claims(positions, {row.topic: row.partitions for row in known})

    def _take_wholes(
        self, connection: Connection, partitions: Sequence[TopicPartition], starts: Starts
    ) -> None:
        for statement in self._statements.make_wholes(starts):
            connection.execute(statement)
        for statement in self._statements.note_topics(starts):
            connection.execute(statement)
        place = self._rows.these(partitions)
        # All claimers lock in this order, so that they do not lock each other out.
        order = offsets.c.topic, offsets.c.partition_number
        connection.execute(select(offsets.c.lane).where(place).order_by(*order).with_for_update())
        connection.execute(self._statements.own_wholes(place))

    def _take_lanes(self, connection: Connection, starts: Starts) -> Sequence[TopicPartition]:
        """Take the rows of our lane under the claims of its reader; return of what."""
        ours = under_their_claim(connection, self._rows, starts)
        for statement in self._statements.take_lanes(ours):
            connection.execute(statement)
        return list(ours)

    # --- former owners ----------------------------------------------------------------------

    def end_formers(self) -> None:
        """End the connections of owners that did not let go, since what they wrote is in our way.

        1. A process is stopped in a transaction in which the handler has written, and which has
        not advanced. 2. Nothing of it holds the row, so our claim is not blocked. 3. Our handler
        writes to the same rows, and waits in vain.

        Those of this reader and its lanes are alive: 1. The reader claims again, and its fence
        makes former owners of its own lanes. 2. These claim under it, with the same connections.
        """
        formers, self._formers = self._formers, set()
        for mark in formers:
            if self._connections.get(mark) != self._reader:
                self._connection.end(mark, "held rows of the handler")

    def close(self) -> None:
        """Count the connection among those that are open no more."""
        self._connections.pop(self._connection.mark, None)

    def _free(self, partitions: Sequence[TopicPartition], starts: Starts) -> None:
        """End the connections of those who may hold the rows that are locked.

        1. A process is stopped, or cut off, in a transaction that has advanced. 2. The server
        keeps that transaction, and its lock on the row, for as long as the connection lasts.
        3. Kafka gives the partition to us.

        A lane frees its own rows only, and where its reader has the partition still: else those
        who hold them came later.
        """
        database, rows = self._connection.database, self._rows
        if not database.ends_sessions:
            raise TransientStoreError(
                "Another process is writing to the database; nothing was claimed. It is tried "
                "again when that one is done."
            )
        with self._connection.claiming() as connection:
            if rows.lane.number:
                place = rows.these(under_their_claim(connection, rows, starts))
            else:
                place = rows.with_lanes(partitions)
            found = rows.read(connection, place)
            keys = select(offsets.c.topic, offsets.c.partition_number, offsets.c.lane).where(place)
            free = set(map(tuple, connection.execute(database.locked(keys, skip=True))))
        for row in found:
            if (row.topic, row.partition_number, row.lane) not in free:
                marks = {row.session, *row.formers.split()} - {"", self._connection.mark}
                for mark in marks:
                    self._connection.end(mark, f"held {partition_of(row)}")

    def _remember(self, marks: Iterable[str]) -> None:
        self._formers.update(marks)
        self._formers.discard(self._connection.mark)
