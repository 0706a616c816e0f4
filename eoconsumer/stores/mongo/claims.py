"""Taking rows over: one write and two reads, and more only where a former owner is in the way."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bson.int64 import Int64

from eoconsumer.core.positions import Claims, Start
from eoconsumer.errors import StoreError, TransientStoreError
from eoconsumer.message import TopicPartition
from eoconsumer.stores.mongo.concerns import DURABLE, Document
from eoconsumer.stores.mongo.driver import OwnSession, outside
from eoconsumer.stores.mongo.quarantine import Quarantine
from eoconsumer.stores.mongo.rows import VERSION, Rows, position
from eoconsumer.stores.mongo.translation import (
    DUPLICATE_KEY,
    OUT_OF_TIME,
    translated,
)
from eoconsumer.stores.twins import answer

log = logging.getLogger(__name__)

#: How long a claim waits for rows that an open transaction holds; one more for each row.
CLAIM_MILLISECONDS = 250

#: How many former owners a row remembers: more do not die one after the other in a minute.
FORMERS = 4

Starts = Mapping[TopicPartition, Start]


class Claimer:
    """Claims rows for one reader."""

    def __init__(self, rows: Rows, quarantine: Quarantine, owner: str, session: OwnSession) -> None:
        """Claim for ``owner``; its writes and reads go through ``session``."""
        self._rows = rows
        self._quarantine = quarantine
        self._owner = owner
        self._session = session
        # Stored in the rows, so that the next owner can end a session that holds them.
        self._lsid = session.session_id["id"]
        # Of owners that did not let go: they may have died inside a transaction.
        self._formers: set[bytes] = set()

    async def claim(self, partitions: Sequence[TopicPartition], starts: Starts) -> Claims:
        """Raise the epochs, own the rows, and return what is ours afterwards."""
        if not partitions:  # a cooperative rebalance may assign nothing
            return Claims({})
        if not await self._take(partitions, starts):
            await self._free(partitions, starts)
        documents = await self._read(partitions)
        rows = self._rows.by_partition(documents)
        ours = {key: row for key, row in rows.items() if row.get("owner") == self._owner}
        if taken := [key for key in partitions if key in rows.keys() - ours.keys() - starts.keys()]:
            # Left out, they would look like partitions that nobody ever claimed.
            raise TransientStoreError(f"Another reader claimed {taken[0]} at the same time.")
        self._formers.update(lsid for row in ours.values() for lsid in row.get("formers", ()))
        self._formers.discard(self._lsid)
        known = {d["_id"]["topic"]: d["partitions"] for d in documents if "partitions" in d}
        # Behind the claim: what a former owner still commits after this is refused.
        held = await self._quarantine.keys(self._session) if ours else {}
        positions = {
            key: replace(position(row), quarantined=held.get(key, frozenset()))
            for key, row in ours.items()
        }
        return Claims(positions, known)

    async def _read(self, partitions: Iterable[TopicPartition]) -> list[Document]:
        """Read behind our own write, as the majority has it: what is ours here, stays ours."""
        keys = [self._rows.key(partition) for partition in partitions]
        topics = {partition.topic for partition in partitions}
        keys += [self._rows.topic_key(topic) for topic in topics]
        return await self._rows.documents(keys, self._session)

    async def _take(self, partitions: Sequence[TopicPartition], starts: Starts) -> bool:
        """Claim in one command; return False if an open transaction holds one of the rows.

        The rows before that one are claimed by then: an update of many is not atomic.
        """
        plain = [self._rows.key(key) for key in partitions if key not in starts]
        updates: list[Document] = [self._row_from(key, starts[key]) for key in starts]
        if plain:
            raised = [{"$set": self._owned()}]
            updates.append({"q": {"_id": {"$in": plain}}, "u": raised, "multi": True})
        updates += self._topics(starts)
        collection = self._rows.collection
        try:
            with translated("claim partitions"):
                reply = await self._command(
                    "update",
                    collection.name,
                    updates=updates,
                    ordered=False,
                    writeConcern=DURABLE.document,
                    maxTimeMS=CLAIM_MILLISECONDS + len(partitions),
                )
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

    async def _command(self, name: str, value: Any, **arguments: Any) -> Document:
        database = self._rows.collection.database
        reply: Document = await answer(
            database.command(name, value, session=self._session, **arguments)
        )
        return reply

    def _owned(self) -> Document:
        # A version that does not know leader epochs has moved positions without them.
        known = {"$gte": ["$version", VERSION]}
        formers = {"$concatArrays": [{"$ifNull": ["$formers", []]}, [{"$ifNull": ["$lsid", ""]}]]}
        real = {"$filter": {"input": formers, "cond": {"$ne": ["$$this", ""]}}}
        return {
            "leader_epoch": {"$cond": [known, "$leader_epoch", None]},
            "formers": {"$slice": [real, -FORMERS]},
            "epoch": {"$add": [{"$ifNull": ["$epoch", Int64(0)]}, 1]},
            "owner": {"$literal": self._owner},
            "lsid": self._lsid,
            "updated_at": "$$NOW",
            "version": VERSION,
        }

    def _row_from(self, key: TopicPartition, start: Start) -> Document:
        # A row that is not there has no epoch: it counts as having the one that is replaced.
        fits = {"$eq": [{"$ifNull": ["$epoch", start.replaces]}, start.replaces]}
        values = {
            "next_offset": {"$cond": [fits, Int64(start.next_offset), "$next_offset"]},
            "handed_over": {"$cond": [fits, start.handed_over, "$handed_over"]},
            "topic_id": {"$cond": [fits, _plain(start.identity.topic_id), "$topic_id"]},
            "cluster_id": {"$cond": [fits, _plain(start.identity.cluster_id), "$cluster_id"]},
        }
        owned = self._owned()
        epoch = {"$cond": [fits, _plain(start.leader_epoch), owned["leader_epoch"]]}
        written = [{"$set": owned | values | {"leader_epoch": epoch}}]
        return {"q": {"_id": self._rows.key(key)}, "u": written, "upsert": True}

    def _topics(self, starts: Starts) -> list[Document]:
        counts = {key.topic: start.partitions for key, start in starts.items() if start.partitions}
        return [
            {
                "q": {"_id": self._rows.topic_key(topic)},
                "u": {"$setOnInsert": {"partitions": count}},
                "upsert": True,
            }
            for topic, count in counts.items()
        ]

    # --- former owners ----------------------------------------------------------------------

    async def end_formers(self) -> None:
        """End the sessions of owners that did not let go, since what they wrote is in our way.

        1. A process dies in a transaction in which the handler has written, and which has not
        advanced. 2. Nothing of it holds the row, so our claim is not blocked. 3. Our handler
        writes to the same documents, and meets a conflict until the server forgets: a minute.
        """
        formers, self._formers = self._formers, set()
        for lsid in formers:
            await self._end(lsid, "unknown")

    async def _free(self, partitions: Sequence[TopicPartition], starts: Starts) -> None:
        """Claim what is left, session by session; end those that hold their rows.

        1. A process is killed, or stopped, in a transaction that has advanced. 2. The server
        keeps that transaction, and its hold on the row, for a minute. 3. Kafka gives the
        partition to us. A live owner that merely lost the partition lets us in at once.
        """
        rows = await self._rows.find(partitions, self._session)
        left: dict[bytes | None, list[TopicPartition]] = defaultdict(list)
        for key in partitions:
            row = rows.get(key, {})
            if row.get("owner") != self._owner:
                left[row.get("lsid")].append(key)
        for lsid, keys in left.items():
            theirs = {key: start for key, start in starts.items() if key in keys}
            if await self._take(keys, theirs):
                continue
            if lsid is not None and lsid != self._lsid:
                await self._end(lsid, rows[keys[0]].get("owner", ""), keys)
            if not await self._take(keys, theirs):
                raise TransientStoreError(
                    f"{keys[0]} is held by an open transaction; it was not claimed. The server "
                    "ends that transaction after transactionLifetimeLimitSeconds."
                )

    async def _end(self, lsid: bytes, owner: str, keys: Sequence[TopicPartition] = ()) -> None:
        held = ", ".join(map(str, keys)) or "documents of the handler"
        client = self._rows.collection.database.client
        try:
            with translated("end the session of a former owner"):
                async with outside(client) as session:  # ours may be in a transaction
                    kill = client.admin.command("killSessions", [{"id": lsid}], session=session)
                    await answer(kill)
        except StoreError as error:  # the session of another database user is not ours to end
            log.warning("Could not end the session of %s, which holds %s: %s", owner, held, error)
        else:
            log.warning("Ended the session of former owner %s, which held %s", owner, held)


def _plain(value: object) -> Document:
    """Return ``value`` as it is: not as a field's name, should it begin with ``$``."""
    return {"$literal": value}
