"""The rows of ``eoconsumer_offsets``: their shape, and the writes that every batch makes.

::

    {_id: {group, topic, partition, lane}, next_offset, epoch, owner, lsid, formers, handed_over,
     topic_id, cluster_id, leader_epoch, updated_at, version}
    {_id: {group, topic}, partitions}      how many partitions there were when first seen
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pymongo
from bson.int64 import Int64
from bson.max_key import MaxKey
from pymongo import UpdateOne

from eoconsumer.core.positions import Identity, Move, Position
from eoconsumer.errors import Fenced
from eoconsumer.message import TopicPartition
from eoconsumer.stores.mongo.concerns import READ_SECONDS, Document
from eoconsumer.stores.mongo.driver import AnyCollection, OwnSession
from eoconsumer.stores.mongo.translation import translated
from eoconsumer.stores.twins import answer

VERSION = 2

#: How long we try to tell that we let go: who claims next manages without.
RELEASE_SECONDS = 2.0


class Rows:
    """The rows of one group."""

    def __init__(self, collection: AnyCollection, group: str) -> None:
        """Read and write those rows of ``collection`` that belong to ``group``."""
        self.collection = collection
        self.group = group

    def key(self, partition: TopicPartition) -> Document:
        """Return the ``_id`` of a partition's row; the order of its fields is part of it."""
        topic, number = partition
        return {"group": self.group, "topic": topic, "partition": number, "lane": 0}

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

    @staticmethod
    def by_partition(documents: Iterable[Document]) -> dict[TopicPartition, Document]:
        """Return the rows of partitions among ``documents``."""
        keys = [(document["_id"], document) for document in documents]
        return {
            TopicPartition(key["topic"], key["partition"]): document
            for key, document in keys
            if "partition" in key
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
    )


def _stands_at(row: Mapping[str, Any] | None, move: Move) -> bool:
    return row is not None and (row["epoch"], row["next_offset"]) == (move.epoch, move.upto)
