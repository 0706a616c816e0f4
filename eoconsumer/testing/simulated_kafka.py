"""A topic and a consumer group for the simulator: no time, no threads, only what can happen."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from eoconsumer.message import Message, Record, TopicPartition


class Rebalance(NamedTuple):
    """What a poll tells a member: ``kind`` is "assigned", "revoked" or "lost"."""

    kind: str
    partition: TopicPartition


@dataclass
class Log:
    """The messages of one topic. Offsets have gaps, as after transactions and compaction.

    Its messages have so many ``keys``; none if that is 0.
    """

    partitions: int
    length: int
    keys: int = 0
    topic: str = "stock-moves"
    messages: dict[TopicPartition, list[Message]] = field(init=False)

    def __post_init__(self) -> None:
        """Fill every partition; each third offset is a gap."""
        self.messages = {
            TopicPartition(self.topic, p): [
                Message(Record(self.topic, p, n + n // 2, key_bytes=self._key(n)), None)
                for n in range(self.length)
            ]
            for p in range(self.partitions)
        }

    def _key(self, number: int) -> bytes | None:
        return b"key %d" % (number % self.keys) if self.keys else None

    def end(self, key: TopicPartition) -> int:
        """Return the position behind the last message."""
        return self.messages[key][-1].offset + 1

    def fetch(self, key: TopicPartition, offset: int, limit: int) -> list[Message]:
        """Return up to ``limit`` messages from ``offset`` on."""
        return [m for m in self.messages[key] if m.offset >= offset][:limit]


@dataclass(eq=False)
class Member:
    """One consumer as the group sees it: what it may fetch, and what it has not been told yet."""

    fetching: dict[TopicPartition, int] = field(default_factory=dict)
    paused: set[TopicPartition] = field(default_factory=set)
    news: deque[Rebalance] = field(default_factory=deque)
    held: set[TopicPartition] = field(default_factory=set)


class Group:
    """A coordinator of the cooperative kind: a partition moves only when it was given back."""

    def __init__(self, partitions: Iterable[TopicPartition]) -> None:
        """Assign nothing yet."""
        self.wanted: dict[TopicPartition, Member | None] = dict.fromkeys(partitions)
        self.members: list[Member] = []
        self.committed: dict[TopicPartition, int] = {}

    def join(self, member: Member) -> None:
        """Add a member and share the partitions anew."""
        self.members.append(member)
        self.balance()

    def leave(self, member: Member) -> None:
        """Remove a member that said goodbye, died, or was silent for too long."""
        if member in self.members:
            self.members.remove(member)
        member.held.clear()
        self.balance()

    def expire(self, member: Member) -> None:
        """Take everything from a silent member; it learns of that at its next poll."""
        if member not in self.members:  # it has to learn of the first time still
            return
        lost = [Rebalance("lost", key) for key in sorted(member.held)]
        self.leave(member)
        member.news.clear()
        member.news.extend(lost)

    def balance(self, shift: int = 0) -> None:
        """Share the partitions round robin, from the member at ``shift`` on."""
        for number, key in enumerate(self.wanted):
            members = self.members
            self.wanted[key] = members[(number + shift) % len(members)] if members else None
        self._tell()

    def given_back(self, member: Member, key: TopicPartition) -> None:
        """Note that ``member`` is done with ``key``: now it can be assigned."""
        member.held.discard(key)
        self._tell()

    def _tell(self) -> None:
        for key, wanted in self.wanted.items():
            holder = next((m for m in self.members if key in m.held), None)
            if holder is None and wanted is not None:
                wanted.held.add(key)
                wanted.news.append(Rebalance("assigned", key))
            elif holder is not None and holder is not wanted:
                notice = Rebalance("revoked", key)
                if notice not in holder.news:
                    holder.news.append(notice)
