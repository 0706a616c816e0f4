"""The rows of ``eoconsumer_offsets``: what is read of them, and the writes that batches make."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Row,
    TextClause,
    and_,
    bindparam,
    select,
    text,
    tuple_,
    update,
)

from eoconsumer.core.lanes import WHOLE, Lane
from eoconsumer.core.positions import Identity, Move, Position
from eoconsumer.errors import Fenced
from eoconsumer.message import TopicPartition
from eoconsumer.stores.sql.connection import ReaderConnection
from eoconsumer.stores.sql.tables import Utc, now, offsets

Rows = dict[TopicPartition, Row[Any]]


class Offsets:
    """The rows of one group: of its partitions, or of one lane of them."""

    def __init__(self, connection: ReaderConnection, group: str, lane: Lane = WHOLE) -> None:
        """Read and write those rows through ``connection``."""
        self._connection = connection
        self.group = group
        self.lane = lane

    def these(self, partitions: Iterable[TopicPartition]) -> ColumnElement[bool]:
        """Return what is true for our rows of ``partitions``."""
        return and_(self.with_lanes(partitions), offsets.c.lane == self.lane.row)

    def wholes(self, partitions: Iterable[TopicPartition]) -> ColumnElement[bool]:
        """Return what is true for the partitions' own rows."""
        return and_(self.with_lanes(partitions), offsets.c.lane == WHOLE.row)

    def with_lanes(self, partitions: Iterable[TopicPartition]) -> ColumnElement[bool]:
        """Return what is true for all rows of ``partitions``: their own, and those of lanes."""
        places = [tuple(partition) for partition in partitions]
        return and_(
            offsets.c.group_name == self.group,
            tuple_(offsets.c.topic, offsets.c.partition_number).in_(places),
        )

    def find(self, partitions: Sequence[TopicPartition]) -> Rows:
        """Return the rows there are."""
        with self._connection.work("read positions") as connection:
            return self.ours(self.read(connection, self.these(partitions)))

    def all(self) -> Rows:
        """Return all rows of the group."""
        with self._connection.work("read positions") as connection:
            return self.ours(self.read(connection, offsets.c.group_name == self.group))

    def read(self, connection: Connection, which: ColumnElement[bool]) -> Sequence[Row[Any]]:
        """Return rows, of whatever lanes."""
        return connection.execute(select(offsets).where(which)).all()

    def ours(self, found: Iterable[Row[Any]]) -> Rows:
        """Return our rows among ``found``, by their partition."""
        return {partition_of(row): row for row in found if row.lane == self.lane.row}

    def advance(self, moves: Sequence[Move]) -> None:
        """Write all positions in one statement, each only where epoch and position are ours.

        Raises ``Fenced`` naming the others. The rows are compared in the statement that writes
        them: having read them would be no fence.
        """
        if not moves:
            return
        values: dict[str, Any] = {"group_name": self.group, "lane": self.lane.row, "now": now()}
        for number, move in enumerate(moves):
            topic, partition = move.partition
            values |= {
                f"topic_{number}": topic,
                f"partition_{number}": partition,
                f"epoch_{number}": move.epoch,
                f"expected_{number}": move.expected,
                f"upto_{number}": move.upto,
                f"leader_{number}": move.leader_epoch,
            }
        with self._connection.work("advance the positions") as connection:
            matched = connection.execute(_advance(len(moves)), values).rowcount
        if matched != len(moves):
            raise Fenced(self._fenced(moves, len(moves) - matched))

    def _fenced(self, moves: Sequence[Move], missing: int) -> list[TopicPartition]:
        rows = self.find([move.partition for move in moves])
        gone = [move.partition for move in moves if not stands_at(rows.get(move.partition), move)]
        # 1. a commit's answer was lost, 2. the batch is done again, 3. the commit lands after all:
        # then a row stands where we wanted it and yet this write did not match. Name them all.
        return gone if len(gone) >= missing else [move.partition for move in moves]

    def release(self, moves: Sequence[Move]) -> None:
        """Note in the rows that are still ours that their owner is gone."""
        if not moves:
            return
        epochs = [(*move.partition, move.epoch) for move in moves]
        ours = tuple_(offsets.c.topic, offsets.c.partition_number, offsets.c.epoch).in_(epochs)
        with self._connection.work("release positions") as connection:
            connection.execute(
                update(offsets)
                .where(offsets.c.group_name == self.group, offsets.c.lane == self.lane.row, ours)
                .values(owner="", session="", updated_at=now())
            )


def position(row: Row[Any]) -> Position:
    """Return what ``row`` says."""
    return Position(
        next_offset=row.next_offset,
        epoch=row.epoch,
        owner=row.owner,
        handed_over=row.handed_over,
        identity=Identity(row.topic_id, row.cluster_id),
        leader_epoch=row.leader_epoch,
        begun=row.begun,
    )


def partition_of(row: Row[Any]) -> TopicPartition:
    """Return the partition that ``row`` is of."""
    return TopicPartition(row.topic, row.partition_number)


def stands_at(row: Row[Any] | None, move: Move) -> bool:
    """Whether ``row`` says that ``move`` was made."""
    return row is not None and (row.epoch, row.next_offset) == (move.epoch, move.upto)


@lru_cache(maxsize=1000)
def _advance(moves: int) -> TextClause:
    """Return the statement that makes so many moves at once."""
    numbers = range(moves)
    here = [f"topic = :topic_{n} AND partition_number = :partition_{n}" for n in numbers]
    upto = " ".join(f"WHEN {here[n]} THEN :upto_{n}" for n in numbers)
    leader = " ".join(f"WHEN {here[n]} THEN :leader_{n}" for n in numbers)
    ours = " OR ".join(
        f"({here[n]} AND epoch = :epoch_{n} AND next_offset = :expected_{n})" for n in numbers
    )
    statement = text(
        f"UPDATE {offsets.name} SET next_offset = CASE {upto} END,"
        f" leader_epoch = CASE {leader} END, updated_at = :now"
        f" WHERE group_name = :group_name AND lane = :lane AND ({ours})"
    )
    kinds: dict[str, Any] = {"partition": Integer, "leader": Integer}
    kinds |= dict.fromkeys(("epoch", "expected", "upto"), BigInteger)
    typed = [bindparam(f"{name}_{n}", type_=kinds[name]) for name in kinds for n in numbers]
    typed += [bindparam("lane", type_=Integer), bindparam("now", type_=Utc)]
    return statement.bindparams(*typed)
