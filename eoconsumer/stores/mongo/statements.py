"""What a claim writes: updates by pipelines, each of which decides by the row that it finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bson.int64 import Int64

from eoconsumer.core.positions import Start
from eoconsumer.message import TopicPartition
from eoconsumer.stores.mongo.concerns import Document
from eoconsumer.stores.mongo.rows import VERSION, Rows

#: How many former owners a row remembers: more do not die one after the other in a minute.
FORMERS = 4

Starts = Mapping[TopicPartition, Start]

#: The owners of a row that did not let go, and may have died: its last one is the newest.
#: Each once: a reader that claims its own rows again must not push out one that died.
_LAST = {"$ifNull": ["$lsid", ""]}
_OTHERS = {"$filter": {"input": {"$ifNull": ["$formers", []]}, "cond": {"$ne": ["$$this", _LAST]}}}
_SESSIONS = {"$concatArrays": [_OTHERS, [_LAST]]}
_REAL = {"$filter": {"input": _SESSIONS, "cond": {"$ne": ["$$this", ""]}}}
WITH_THE_LAST = {"$slice": [_REAL, -FORMERS]}


class Statements:
    """The statements of the claims of one owner."""

    def __init__(self, rows: Rows, owner: str, lsid: bytes) -> None:
        """Claim ``rows`` for ``owner``, whose session has the id ``lsid``."""
        self._rows = rows
        self._owner = owner
        self._lsid = lsid

    def claim(self, partitions: Sequence[TopicPartition], starts: Starts) -> list[Document]:
        """Return the statements that claim ``partitions``, with what ``starts`` says."""
        if self._rows.lane.number:
            return [self._lane_from(key, start) for key, start in starts.items()]
        updates = [self._row_from(key, start) for key, start in starts.items()]
        plain = [self._rows.key(key) for key in partitions if key not in starts]
        if plain:
            raised = [{"$set": self._owned()}]
            updates.append({"q": {"_id": {"$in": plain}}, "u": raised, "multi": True})
        return updates + self._topics(starts)

    def _owned(self) -> Document:
        # A version that does not know leader epochs has moved positions without them.
        known = {"$gte": ["$version", VERSION]}
        owned = {
            "leader_epoch": {"$cond": [known, "$leader_epoch", None]},
            "formers": WITH_THE_LAST,
            "epoch": {"$add": [{"$ifNull": ["$epoch", Int64(0)]}, 1]},
            "owner": {"$literal": self._owner},
            "lsid": self._lsid,
            "updated_at": "$$NOW",
            "version": VERSION,
        }
        # There may be lanes from now on, so that whoever claims next has to look.
        return owned | ({"lanes": self._rows.lane.lanes} if self._rows.lane.lanes else {})

    def _row_from(self, key: TopicPartition, start: Start) -> Document:
        # A row that is not there has no epoch: it counts as having the one that is replaced.
        fits = {"$eq": [{"$ifNull": ["$epoch", start.replaces]}, start.replaces]}
        owned, begun = self._owned(), {"$ifNull": ["$begun", Int64(0)]}
        values = {
            "next_offset": Int64(start.next_offset),
            "handed_over": start.handed_over,
            "topic_id": _plain(start.identity.topic_id),
            "cluster_id": _plain(start.identity.cluster_id),
        }
        written = {name: {"$cond": [fits, value, f"${name}"]} for name, value in values.items()}
        epoch = {"$cond": [fits, _plain(start.leader_epoch), owned["leader_epoch"]]}
        written |= {
            "leader_epoch": epoch,
            "begun": begun if start.goes_on else {"$cond": [fits, owned["epoch"], begun]},
        }
        update = [{"$set": owned | written}]
        return {"q": {"_id": self._rows.key(key)}, "u": update, "upsert": True}

    def _lane_from(self, key: TopicPartition, start: Start) -> Document:
        """Return how the row of a lane is claimed under the claim of its partition."""
        fits = {"$lte": [{"$ifNull": ["$epoch", Int64(0)]}, start.under]}
        same = {"$eq": [{"$ifNull": ["$begun", Int64(-1)]}, start.begun]}
        floor = Int64(start.next_offset)
        keeps = {"$and": [same, {"$gte": ["$next_offset", floor]}]}
        values = {
            "next_offset": floor,
            "topic_id": _plain(start.identity.topic_id),
            "cluster_id": _plain(start.identity.cluster_id),
            "leader_epoch": _plain(start.leader_epoch),
        }
        written: Document = {
            name: {"$cond": [keeps, f"${name}", value]} for name, value in values.items()
        }
        written |= self._owned() | {
            "leader_epoch": written["leader_epoch"],
            "epoch": Int64(start.under or 0),
            "begun": Int64(start.begun),
            "handed_over": False,
        }
        del written["lanes"]
        update = [
            {
                "$set": {
                    name: {"$cond": [fits, value, f"${name}"]} for name, value in written.items()
                }
            }
        ]
        return {"q": {"_id": self._rows.key(key)}, "u": update, "upsert": True}

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


def _plain(value: object) -> Document:
    """Return ``value`` as it is: not as a field's name, should it begin with ``$``."""
    return {"$literal": value}
