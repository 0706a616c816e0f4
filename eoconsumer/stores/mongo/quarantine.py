"""Keys in quarantine: one row for each, which whoever parks or releases a message writes.

::

    {_id: {group, topic, partition, key}, letters, updated_at}

The reader that parks message 51, and the redrive that applies the 50 before it, do not see each
other's open transactions. If they only *read* the row, both could commit: 51 parked, and nobody to
release it. Since the one updates the row and the other deletes it, MongoDB lets one of them win and
answers the other with a write conflict. That one looks again: the redrive finds 51 and goes on with
it, or the reader's update matches nothing, and 51 is handled as usual, behind the 50.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from bson.max_key import MaxKey
from pymongo import UpdateOne

from eoconsumer.core.letters import DeadLetter, Hold
from eoconsumer.errors import QuarantineLifted
from eoconsumer.message import MessageKey, TopicPartition
from eoconsumer.stores.mongo.concerns import READ_SECONDS, Document
from eoconsumer.stores.mongo.driver import AnyCollection, OwnSession
from eoconsumer.stores.mongo.letters import base64
from eoconsumer.stores.mongo.translation import translated
from eoconsumer.stores.twins import answer


class Quarantine:
    """The keys of one group that are in quarantine."""

    def __init__(self, rows: AnyCollection, letters: AnyCollection, group: str) -> None:
        """Keep them in ``rows``; ``letters`` are what they are there for."""
        self._rows = rows
        self._letters = letters
        self._group = group

    async def keys(self, session: OwnSession) -> dict[TopicPartition, frozenset[bytes]]:
        """Return all keys, by partition, from behind our own last write."""
        first, behind = {"group": self._group}, {"group": self._group, "topic": MaxKey()}
        with translated("read the keys in quarantine"):
            cursor = self._rows.find(
                {"_id": {"$gt": first, "$lt": behind}},
                {"_id": 1},
                session=session,
                max_time_ms=int(READ_SECONDS * 1000),
            )
            found = await answer(cursor.to_list())
        keys: dict[TopicPartition, set[bytes]] = defaultdict(set)
        for id in (document["_id"] for document in found):
            keys[TopicPartition(id["topic"], id["partition"])].add(bytes(id["key"]))
        return {partition: frozenset(those) for partition, those in keys.items()}

    async def hold(self, letters: Sequence[DeadLetter], session: OwnSession) -> None:
        """Put keys in, and check those that letters wait for; writes a row for each of both.

        Raises ``QuarantineLifted`` naming the keys that are not there any more.
        """
        held = [letter for letter in letters if letter.hold is not Hold.NONE and letter.key]
        if not held:
            return
        counts = Counter(letter.key for letter in held if letter.key)
        begins = {letter.key for letter in held if letter.hold is Hold.BEGINS}
        writes = [
            UpdateOne(
                {"_id": self._id(key)},
                {"$inc": {"letters": count}, "$currentDate": {"updated_at": True}},
                upsert=key in begins,
            )
            for key, count in counts.items()
        ]
        with translated("put keys into quarantine"):
            done = await answer(self._rows.bulk_write(writes, ordered=False, session=session))
        if done.matched_count + done.upserted_count < len(writes):
            raise QuarantineLifted(await self._free(counts, session))

    async def lift(self, key: MessageKey, session: OwnSession) -> bool:
        """Take ``key`` out if nothing of it is left; return whether it is out."""
        row, (topic, partition) = {"_id": self._id(key)}, key.partition
        place = {"group": self._group, "topic": topic, "partition": partition}
        with translated("lift a quarantine"):
            if await answer(self._rows.find_one(row, session=session)) is None:
                return True
            left = {**place, "key": base64(key.key)}
            letter = await answer(self._letters.find_one(left, {"_id": 1}, session=session))
            if letter is not None:
                return False
            await answer(self._rows.delete_one(row, session=session))
        return True

    async def _free(self, keys: Iterable[MessageKey], session: OwnSession) -> list[MessageKey]:
        with translated("read the keys in quarantine"):
            return [
                key
                for key in keys
                if await answer(self._rows.find_one({"_id": self._id(key)}, session=session))
                is None
            ]

    def _id(self, key: MessageKey) -> Document:
        topic, partition = key.partition
        return {"group": self._group, "topic": topic, "partition": partition, "key": key.key}
