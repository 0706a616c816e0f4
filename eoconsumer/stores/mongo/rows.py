"""The rows of ``eoconsumer_offsets``: their shape, and the writes that every batch makes.

::

    {_id: {group, topic, partition, lane}, next_offset, epoch, owner, lsid, formers, handed_over,
     topic_id, cluster_id, leader_epoch, begun, lanes, updated_at, version}
    {_id: {group, topic}, partitions}      how many partitions there were when first seen
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pymongo
from bson.int64 import Int64
from bson.max_key import MaxKey
from pymongo import UpdateOne

from eoconsumer.core.lanes import WHOLE, Lane
from eoconsumer.core.positions import Identity, Move, Position
from eoconsumer.errors import Fenced, StoreError, TransientStoreError
from eoconsumer.message import TopicPartition
from eoconsumer.stores.mongo.concerns import DURABLE, READ_SECONDS, Document
from eoconsumer.stores.mongo.driver import AnyCollection, OwnSession
from eoconsumer.stores.mongo.translation import DUPLICATE_KEY, OUT_OF_TIME, translated
from eoconsumer.stores.twins import answer

VERSION = 2

#: How long we try to tell that we let go: who claims next manages without.
RELEASE_SECONDS = 2.0


class Rows:
    """The rows of one group: of its partitions, or of one lane of them."""

    def __init__(self, collection: AnyCollection, group: str, lane: Lane = WHOLE) -> None:
        """Read and write those rows of ``collection`` that belong to ``group`` and ``lane``."""
        self.collection = collection
        self.group = group
        self.lane = lane

    def key(self, partition: TopicPartition) -> Document:
        """Return the ``_id`` of a partition's row; the order of its fields is part of it."""
        return self.lane_key(partition, self.lane.row)

    def lane_key(self, partition: TopicPartition, row: object) -> Document:
        """Return the ``_id`` of the row of a lane; 0 is the partition's own."""
        topic, number = partition
        return {"group": self.group, "topic": topic, "partition": number, "lane": row}

    def topic_key(self, topic: str) -> Document:
        """Return the ``_id`` of the row that remembers the number of partitions of ``topic``."""
        return {"group": self.group, "topic": topic}

    async def find(
        self, partitions: Iterable[TopicPartition], session: OwnSession
    ) -> dict[TopicPartition, Document]:
        """Return the rows there are: in a transaction its snapshot, else never an old state."""
        keys = [self.key(partition) for partition in partitions]
        return self.by_partition(await self.documents(keys, session))

    async def all(self, session: OwnSession) -> dict[TopicPartition, Document]:
        """Return all rows of the group: a range of ``_id``, whose first field is the group."""
        first, behind = {"group": self.group}, {"group": self.group, "topic": MaxKey()}
        with translated("read positions"):
            cursor = self.collection.find(
                {"_id": {"$gt": first, "$lt": behind}},
                session=session,
                max_time_ms=int(READ_SECONDS * 1000),
            )
            return self.by_partition(await answer(cursor.to_list()))

    async def documents(self, keys: Sequence[Document], session: OwnSession) -> list[Document]:
        """Return the documents with these ``_id``, from the primary, as the majority has them."""
        limit = int(READ_SECONDS * 1000)
        with translated("read positions"):
            cursor = self.collection.find(
                {"_id": {"$in": keys}},
                session=session,
                max_time_ms=limit,
                batch_size=len(keys) + 1,  # all in one round trip
            )
            documents: list[Document] = await answer(cursor.to_list())
        return documents

    async def take(
        self, updates: Sequence[Document], session: OwnSession, milliseconds: int
    ) -> bool:
        """Do ``updates`` in one command; return False if an open transaction holds a row.

        Those before that one are done by then: updates of many rows are not atomic.
        """
        command = self.collection.database.command
        try:
            with translated("claim partitions"):
                taking = command(
                    "update",
                    self.collection.name,
                    updates=updates,
                    ordered=False,
                    writeConcern=DURABLE.document,
                    maxTimeMS=milliseconds,
                    session=session,
                )
                reply: Document = await answer(taking)
        except TransientStoreError as error:
            if getattr(error.__cause__, "code", None) == OUT_OF_TIME:
                return False
            raise
        for failed in reply.get("writeErrors", ()):
            said = f"{failed.get('errmsg')} ({failed.get('code')})"
            if failed.get("code") == DUPLICATE_KEY:  # made by another reader at the same moment
                raise TransientStoreError(f"Another reader claimed at the same time: {said}")
            raise StoreError(f"MongoDB refused a claim; nothing was started. It said: {said}")
        # A write concern error is no news: the read that follows waits for the majority.
        return True

    def by_partition(self, documents: Iterable[Document]) -> dict[TopicPartition, Document]:
        """Return our rows among ``documents``."""
        keys = [(document["_id"], document) for document in documents]
        return {
            TopicPartition(key["topic"], key["partition"]): document
            for key, document in keys
            if key.get("lane") == self.lane.row
        }

    async def advance(self, moves: Sequence[Move], session: OwnSession) -> None:
        """Write all positions in one command, each only where epoch and position are ours.

        Raises ``Fenced`` naming the others. The rows are compared in the command that writes
        them: under snapshot isolation, having read them would be no fence.
        """
        if not moves:
            return
        writes = [
            UpdateOne(
                {
                    "_id": self.key(move.partition),
                    "epoch": move.epoch,
                    "next_offset": move.expected,
                },
                {
                    "$set": {
                        "next_offset": Int64(move.upto),
                        "leader_epoch": move.leader_epoch,
                    },
                    "$currentDate": {"updated_at": True},
                },
            )
            for move in moves
        ]
        with translated("advance the positions"):
            done = await answer(self.collection.bulk_write(writes, ordered=False, session=session))
        if done.matched_count != len(moves):
            missing = len(moves) - done.matched_count
            raise Fenced(await self._fenced(moves, missing, session))

    async def _fenced(
        self, moves: Sequence[Move], missing: int, session: OwnSession
    ) -> list[TopicPartition]:
        rows = await self.find((move.partition for move in moves), session)
        gone = [move.partition for move in moves if not _stands_at(rows.get(move.partition), move)]
        # 1. a commit's answer was lost, 2. the batch is done again, 3. the commit lands after all:
        # then a row stands where we wanted it and yet this write did not match. Name them all.
        return gone if len(gone) >= missing else [move.partition for move in moves]

    async def release(self, moves: Sequence[Move], session: OwnSession) -> None:
        """Note in the rows that are still ours that their owner is gone."""
        writes = [
            UpdateOne(
                {"_id": self.key(move.partition), "epoch": move.epoch},
                {"$unset": {"owner": "", "lsid": ""}, "$currentDate": {"updated_at": True}},
            )
            for move in moves
        ]
        if writes:
            with translated("release positions"), pymongo.timeout(RELEASE_SECONDS):
                await answer(self.collection.bulk_write(writes, ordered=False, session=session))


def position(row: Mapping[str, Any]) -> Position:
    """Return what ``row`` says."""
    return Position(
        next_offset=int(row["next_offset"]),
        epoch=int(row["epoch"]),
        owner=row.get("owner") or "",
        handed_over=row.get("handed_over", False),
        identity=Identity(row.get("topic_id"), row.get("cluster_id")),
        leader_epoch=row.get("leader_epoch"),
        begun=int(row.get("begun") or 0),
    )


def _stands_at(row: Mapping[str, Any] | None, move: Move) -> bool:
    return row is not None and (row["epoch"], row["next_offset"]) == (move.epoch, move.upto)
