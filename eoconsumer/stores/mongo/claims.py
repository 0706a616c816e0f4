"""Taking rows over: one write and two reads, and more only where a former owner is in the way."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from eoconsumer.core.lanes import Ahead
from eoconsumer.core.positions import Claims
from eoconsumer.errors import StoreError, TransientStoreError
from eoconsumer.message import TopicPartition
from eoconsumer.stores.mongo.concerns import Document
from eoconsumer.stores.mongo.driver import OwnSession, outside
from eoconsumer.stores.mongo.lanes import LaneRows, under_the_same_claim
from eoconsumer.stores.mongo.quarantine import Quarantine
from eoconsumer.stores.mongo.rows import Rows, position
from eoconsumer.stores.mongo.statements import Starts, Statements
from eoconsumer.stores.mongo.translation import translated
from eoconsumer.stores.twins import answer

log = logging.getLogger(__name__)

#: By the ids of the sessions that this process has open: the readers that have them.
Open = dict[bytes, str]

#: How long a claim waits for rows that an open transaction holds; one more for each row.
CLAIM_MILLISECONDS = 250


class Claimer:
    """Claims rows for one reader."""

    def __init__(
        self,
        rows: Rows,
        quarantine: Quarantine,
        owner: str,
        session: OwnSession,
        sessions: Open,
    ) -> None:
        """Claim for ``owner``; its writes and reads go through ``session``, one of ``sessions``."""
        self._rows = rows
        self._quarantine = quarantine
        self._owner = owner
        self._session = session
        # Stored in the rows, so that the next owner can end a session that holds them.
        self._lsid = session.session_id["id"]
        self._statements = Statements(rows, owner, self._lsid)
        # Of owners that did not let go: they may have died inside a transaction.
        self._formers: set[bytes] = set()
        self._lanes = LaneRows(rows, session)
        self._reader = rows.lane.reader(owner)
        self._sessions = sessions
        sessions[self._lsid] = self._reader

    async def claim(self, partitions: Sequence[TopicPartition], starts: Starts) -> Claims:
        """Raise the epochs, own the rows, and return what is ours afterwards."""
        if not partitions:  # a cooperative rebalance may assign nothing
            return Claims({})
        if not await self._take(partitions, starts):
            await self._free(partitions, starts)
        documents = await self._read(partitions)
        rows = self._rows.by_partition(documents)
        ours: Mapping[TopicPartition, Document] = {
            key: row for key, row in rows.items() if row.get("owner") == self._owner
        }
        if self._rows.lane.number:
            ours = under_the_same_claim(ours, starts, documents)
        if taken := [key for key in partitions if key in rows.keys() - ours.keys() - starts.keys()]:
            # Left out, they would look like partitions that nobody ever claimed.
            raise TransientStoreError(f"Another reader claimed {taken[0]} at the same time.")
        ahead = await self._fence_lanes(ours)
        self._formers.update(lsid for row in documents for lsid in row.get("formers", ()))
        known = {d["_id"]["topic"]: d["partitions"] for d in documents if "partitions" in d}
        # Behind the claim: what a former owner still commits after this is refused.
        held = await self._quarantine.keys(self._session) if ours else {}
        positions = {
            key: replace(
                position(row), quarantined=held.get(key, frozenset()), ahead=ahead.get(key, ())
            )
            for key, row in ours.items()
        }
        return Claims(positions, known)

    async def _read(self, partitions: Iterable[TopicPartition]) -> list[Document]:
        """Read behind our own write, as the majority has it: what is ours here, stays ours."""
        if self._rows.lane.number:
            return await self._lanes.read(partitions)
        keys = [self._rows.key(partition) for partition in partitions]
        topics = {partition.topic for partition in partitions}
        keys += [self._rows.topic_key(topic) for topic in topics]
        return await self._rows.documents(keys, self._session)

    async def _take(self, partitions: Sequence[TopicPartition], starts: Starts) -> bool:
        """Claim in one command; return False if an open transaction holds one of the rows.

        The rows before that one are claimed by then: an update of many is not atomic.
        """
        updates = self._statements.claim(partitions, starts)
        milliseconds = CLAIM_MILLISECONDS + len(partitions)
        return await self._rows.take(updates, self._session, milliseconds)

    async def _fence_lanes(
        self, ours: Mapping[TopicPartition, Document]
    ) -> Mapping[TopicPartition, tuple[Ahead, ...]]:
        """Take the lanes of partitions that have any from their owners, and read how far they are.

        Behind the claim of the partition, after which no lane is claimed for another reader.
        """
        wholes = {key: row for key, row in ours.items() if row.get("lanes")}
        if not wholes or self._rows.lane.number:
            return {}
        if not await self._lanes.fence(wholes):
            for lsid, (owner, keys) in (await self._lanes.holders(wholes)).items():
                await self._end(lsid, owner, keys)
            if not await self._lanes.fence(wholes):
                raise TransientStoreError(
                    f"A lane of {next(iter(wholes))} is held by an open transaction; it was not "
                    "claimed. The server ends that after transactionLifetimeLimitSeconds."
                )
        found = await self._lanes.read(wholes)
        self._formers.update(lsid for row in found for lsid in row.get("formers", ()))
        return await self._lanes.ahead(wholes, found)

    # --- former owners ----------------------------------------------------------------------

    async def end_formers(self) -> None:
        """End the sessions of owners that did not let go, since what they wrote is in our way.

        1. A process dies in a transaction in which the handler has written, and which has not
        advanced. 2. Nothing of it holds the row, so our claim is not blocked. 3. Our handler
        writes to the same documents, and meets a conflict until the server forgets: a minute.

        Those of this reader and its lanes are alive: 1. The reader claims again, and its fence
        makes former owners of its own lanes. 2. These claim under it, with the same sessions.
        """
        formers, self._formers = self._formers, set()
        for lsid in formers:
            if self._sessions.get(lsid) != self._reader:
                await self._end(lsid, "unknown")

    def close(self) -> None:
        """Count the session among those that are open no more."""
        self._sessions.pop(self._lsid, None)

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
