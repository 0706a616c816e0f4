"""The rows of the in-memory store, and how they are claimed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from eoconsumer.core.lanes import WHOLE, Ahead, Lane
from eoconsumer.core.positions import UNKNOWN, Identity, Position, Start
from eoconsumer.message import TopicPartition


class Key(NamedTuple):
    """What a row is found by."""

    group: str
    partition: TopicPartition
    lane: Lane = WHOLE


@dataclass(slots=True)
class Row:
    """The stored position of one partition, or of one of its lanes."""

    next_offset: int
    epoch: int
    owner: str
    handed_over: bool = False
    identity: Identity = UNKNOWN
    leader_epoch: int | None = None
    begun: int = 0

    def begin(self, start: Start) -> None:
        """Stand where ``start`` says, in the log that it names."""
        self.next_offset, self.handed_over = start.next_offset, start.handed_over
        self.identity, self.leader_epoch = start.identity, start.leader_epoch


@dataclass(frozen=True, slots=True)
class Claimer:
    """Claims rows of ``group`` for ``owner``; whoever calls it holds the lock."""

    rows: dict[Key, Row]
    group: str
    owner: str

    def wholes(
        self, partitions: Sequence[TopicPartition], starts: Mapping[TopicPartition, Start]
    ) -> dict[TopicPartition, Position]:
        """Claim the rows of partitions, and fence those of their lanes."""
        for partition, start in starts.items():
            key = Key(self.group, partition)
            is_new = key not in self.rows
            row = self.rows.setdefault(key, Row(start.next_offset, 0, ""))
            if is_new or row.epoch == start.replaces:
                row.begin(start)
                row.begun = row.begun if start.goes_on else row.epoch + 1
        claimed = {}
        for partition in partitions:
            found = self.rows.get(Key(self.group, partition))
            if found is not None:
                found.epoch += 1
                found.owner = self.owner
                claimed[partition] = replace(position(found), ahead=self._fence(partition, found))
        return claimed

    def _fence(self, partition: TopicPartition, whole: Row) -> tuple[Ahead, ...]:
        """Take the lanes of ``partition`` from their owners; return what they have done beyond."""
        ahead = []
        for key, row in self.rows.items():
            if key[:2] == (self.group, partition) and key.lane.number:
                row.epoch = whole.epoch
                if row.begun == whole.begun and row.next_offset > whole.next_offset:
                    ahead.append(Ahead(key.lane, row.next_offset, row.leader_epoch))
        return tuple(ahead)

    def is_ours(self, whole: Row, start: Start) -> bool:
        """Whether the partition is claimed by the reader of a lane still."""
        return whole.epoch == start.under

    def lanes(
        self, lane: Lane, starts: Mapping[TopicPartition, Start]
    ) -> dict[TopicPartition, Position]:
        """Claim the rows of ``lane`` where the partition is claimed by our reader still."""
        claimed = {}
        for partition, start in starts.items():
            if not self.is_ours(self.rows[Key(self.group, partition)], start):
                continue
            row = self.rows.setdefault(Key(self.group, partition, lane), Row(-1, 0, ""))
            if row.begun != start.begun or row.next_offset < start.next_offset:
                row.begin(start)
            row.epoch, row.begun, row.owner = start.under or 0, start.begun, self.owner
            claimed[partition] = position(row)
        return claimed


def position(row: Row) -> Position:
    """Return what ``row`` says."""
    return Position(
        row.next_offset,
        row.epoch,
        row.owner,
        row.handed_over,
        row.identity,
        row.leader_epoch,
        begun=row.begun,
    )
