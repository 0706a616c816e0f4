"""The rows of lanes, as a claim of their partition finds them: fenced, and read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bson.int64 import Int64
from bson.max_key import MaxKey
from pymongo import UpdateOne

from eoconsumer.core.lanes import Ahead, Lane
from eoconsumer.message import TopicPartition
from eoconsumer.stores.mongo.concerns import READ_SECONDS, Document
from eoconsumer.stores.mongo.driver import OwnSession
from eoconsumer.stores.mongo.rows import Rows
from eoconsumer.stores.mongo.statements import WITH_THE_LAST, Starts
from eoconsumer.stores.mongo.translation import translated
from eoconsumer.stores.twins import answer

Wholes = Mapping[TopicPartition, Document]

#: How long a fence waits for rows that open transactions hold; one more for each partition.
FENCE_MILLISECONDS = 250


class LaneRows:
    """The rows of lanes, of partitions whose own rows (the wholes) were just claimed."""

    def __init__(self, rows: Rows, session: OwnSession) -> None:
        """Find them beside ``rows``."""
        self._rows = rows
        self._session = session

    async def fence(self, wholes: Wholes) -> bool:
        """Take all lanes from their owners, by raising their epochs to those of their partitions.

        Returns False if an open transaction holds one of the rows.
        """
        updates = [
            {
                "q": {"_id": self._range(key, 0), "epoch": {"$lt": Int64(row["epoch"])}},
                "u": [
                    {"$set": {"epoch": Int64(row["epoch"]), "formers": WITH_THE_LAST}},
                    {"$unset": ["owner", "lsid"]},
                ],
                "multi": True,
            }
            for key, row in wholes.items()
        ]
        milliseconds = FENCE_MILLISECONDS + len(wholes)
        return await self._rows.take(updates, self._session, milliseconds)

    async def holders(self, wholes: Wholes) -> dict[bytes, tuple[str, list[TopicPartition]]]:
        """Return the sessions that own lanes still, with the name of their owner and what of."""
        found: dict[bytes, tuple[str, list[TopicPartition]]] = {}
        for row in await self.read(wholes):
            key = _partition(row)
            if row["_id"]["lane"] and row["epoch"] < wholes[key]["epoch"] and "lsid" in row:
                found.setdefault(row["lsid"], (row.get("owner", ""), []))[1].append(key)
        return found

    async def read(self, keys: Iterable[TopicPartition]) -> list[Document]:
        """Return all rows of partitions: their own, and those of lanes."""
        ranges = [{"_id": self._range(key, -1)} for key in keys]
        with translated("read positions"):
            cursor = self._rows.collection.find(
                {"$or": ranges}, session=self._session, max_time_ms=int(READ_SECONDS * 1000)
            )
            found: list[Document] = await answer(cursor.to_list())
        return found

    async def ahead(
        self, wholes: Wholes, found: Iterable[Document]
    ) -> dict[TopicPartition, tuple[Ahead, ...]]:
        """Return what lanes have done beyond the positions of ``wholes``.

        ``found`` are the rows of lanes behind their fence, so they move no more. Where a reader
        without lanes finds nothing, nobody has to look again.
        """
        told: dict[TopicPartition, tuple[Ahead, ...]] = dict.fromkeys(wholes, ())
        for row in found:
            key, lane = _partition(row), Lane.of_row(row["_id"]["lane"])
            whole = wholes[key]
            counts = lane.number and row.get("begun") == (whole.get("begun") or 0)
            if counts and row["next_offset"] > whole["next_offset"]:
                epoch = row.get("leader_epoch")
                told[key] = (*told[key], Ahead(lane, int(row["next_offset"]), epoch))
        if not self._rows.lane.lanes:
            passed = [
                {"_id": self._rows.key(key), "epoch": wholes[key]["epoch"]}
                for key, lanes in told.items()
                if not lanes
            ]
            await self._forget(passed)
        return told

    async def _forget(self, wholes: Sequence[Document]) -> None:
        """Note in partitions that their lanes are all behind."""
        writes = [UpdateOne(whole, {"$unset": {"lanes": ""}}) for whole in wholes]
        if writes:
            with translated("claim partitions"):
                await answer(self._rows.collection.bulk_write(writes, session=self._session))

    def _range(self, key: TopicPartition, above: int) -> Document:
        """Return the range of ``_id`` that has the rows of a partition above that number."""
        return {
            "$gt": self._rows.lane_key(key, above),
            "$lt": self._rows.lane_key(key, MaxKey()),
        }


def under_the_same_claim(ours: Wholes, starts: Starts, found: Iterable[Document]) -> Wholes:
    """Return those of a lane's rows whose partition nobody has claimed since its reader."""
    epochs = {_partition(row): row["epoch"] for row in found if row["_id"]["lane"] == 0}
    return {key: row for key, row in ours.items() if epochs.get(key) == starts[key].under}


def _partition(row: Document) -> TopicPartition:
    return TopicPartition(row["_id"]["topic"], row["_id"]["partition"])
