"""The applied-log as documents, and the marks that a user's own rows carry.

::

    {_id: {group, topic, partition, epoch, number}, group, topic, partition, first, upto,
     ranges: [[first, upto], ...], passed: [offset, ...], written_at}
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from bson.int64 import Int64
from pymongo import UpdateOne

from eoconsumer.core.applied import Applied
from eoconsumer.core.verify import Mark, Marker
from eoconsumer.errors import ConfigurationError
from eoconsumer.message import TopicPartition
from eoconsumer.stores.mongo.concerns import Document
from eoconsumer.stores.mongo.driver import AnyCollection, OwnSession, outside
from eoconsumer.stores.mongo.translation import translated
from eoconsumer.stores.twins import answer, each

#: The index by which the log is read.
BY_OFFSET = ("group", "topic", "partition", "first")


class AppliedLog:
    """The applied-log of all groups."""

    def __init__(self, collection: AnyCollection) -> None:
        """Keep it in ``collection``."""
        self._collection = collection

    async def add(self, group: str, lines: Sequence[Applied], session: OwnSession) -> None:
        """Write ``lines``, each once: outside of a transaction a write may be repeated."""
        writes = [
            UpdateOne({"_id": _key(group, line)}, _document(group, line), upsert=True)
            for line in lines
        ]
        with translated("write the applied-log"):
            await answer(self._collection.bulk_write(writes, ordered=False, session=session))

    async def find(
        self, group: str, partition: TopicPartition, first: int, upto: int
    ) -> AsyncIterator[Applied]:
        """Read the lines that reach into the offsets from ``first`` to ``upto``, by their first."""
        topic, number = partition
        place = {"group": group, "topic": topic, "partition": number}
        reach = {"first": {"$lt": Int64(upto)}, "upto": {"$gt": Int64(first)}}
        collection = self._collection
        with translated("read the applied-log"):
            async with outside(collection.database.client) as own:
                found = collection.find({**place, **reach}, sort=[("first", 1)], session=own)
                async for document in each(found):
                    yield _line(document)


async def marks(
    database: Any, marker: Marker, partition: TopicPartition, first: int, upto: int
) -> AsyncIterator[Mark]:
    """Read the marks of a user's rows in the order of their offsets.

    Raises ``ConfigurationError`` where there is no such collection.
    """
    with translated("list its collections"):
        there = await answer(database.list_collection_names(authorizedCollections=True))
    if marker.collection not in there:
        raise ConfigurationError(
            f"The database {database.name} has no collection {marker.collection!r}; nothing was "
            "compared. Check --collection and the database of the URL."
        )
    topic, number = partition
    place = {marker.topic: topic, marker.partition: number}
    shown = {"offset": f"${marker.offset}"}
    shown |= {"line": f"${marker.line}"} if marker.line else {}
    shown |= {"order": f"${marker.order}"} if marker.order else {}
    steps: list[Document] = [
        {"$match": {**place, marker.offset: {"$gte": Int64(first), "$lt": Int64(upto)}}},
        {"$sort": {marker.offset: 1}},
        {"$project": {"_id": False, **shown}},
    ]
    rows = database[marker.collection]
    with translated("read the rows"):
        async with outside(database.client) as own:
            # Without an index on the three fields the server sorts on its disk.
            found = await answer(rows.aggregate(steps, session=own, allowDiskUse=True))
            async for row in each(found):
                yield Mark(int(row["offset"]), row.get("order"), _hashable(row.get("line")))


def _key(group: str, line: Applied) -> Document:
    topic, partition = line.partition
    place = {"group": group, "topic": topic, "partition": partition}
    return {**place, "epoch": Int64(line.epoch), "number": Int64(line.number)}


def _document(group: str, line: Applied) -> Document:
    topic, partition = line.partition
    written = {
        "group": group,
        "topic": topic,
        "partition": partition,
        "first": Int64(line.first),
        "upto": Int64(line.upto),
        "ranges": [[Int64(first), Int64(upto)] for first, upto in line.ranges],
        "passed": [Int64(offset) for offset in line.passed],
    }
    return {"$setOnInsert": written, "$currentDate": {"written_at": True}}


def _line(document: Mapping[str, Any]) -> Applied:
    return Applied(
        TopicPartition(document["topic"], document["partition"]),
        int(document["_id"]["epoch"]),
        int(document["_id"]["number"]),
        tuple((int(first), int(upto)) for first, upto in document["ranges"]),
        tuple(int(offset) for offset in document["passed"]),
    )


def _hashable(value: object) -> object:
    """Return a line's name so that equal ones are counted, whatever it is made of."""
    return value if isinstance(value, int | str | None) else repr(value)
