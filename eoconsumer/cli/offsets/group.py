"""The positions of one group, as the store has them and as Kafka shows them."""

from __future__ import annotations

import os
import re
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from eoconsumer.cli.subject import Subject
from eoconsumer.core.positions import UNKNOWN, Identity, Move, Position, Start
from eoconsumer.errors import BrokerError, ConfigurationError, StoreError, TransientStoreError
from eoconsumer.kafka import GroupAdmin
from eoconsumer.kafka.inspector import Inspector
from eoconsumer.message import TopicPartition
from eoconsumer.protocols import StoreSession

#: How long the database is asked again, in seconds.
PATIENCE = 20.0

_TOPIC = re.compile(r"(?P<topic>[^:]+)(:(?P<partitions>\d+(,\d+)*))?")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Standing:
    """One partition: its row, its log from ``low`` to ``end``, and Kafka's committed offset.

    ``row`` is None for a partition that was never claimed; ``low`` and ``end`` are None where the
    topic is gone. ``identity`` is that of the topic now, not that of the row.
    """

    partition: TopicPartition
    row: Position | None
    committed: int | None
    low: int | None = None
    end: int | None = None
    identity: Identity = UNKNOWN

    @property
    def position(self) -> int | None:
        """The offset of the next message: the stored one, or Kafka's if it was handed over."""
        if self.handed_over:
            return self.committed
        return self.row.next_offset if self.row else None

    @property
    def handed_over(self) -> bool:
        """Whether Kafka's group has the position (``positions="kafka"``)."""
        return self.row is not None and self.row.handed_over

    @property
    def epoch(self) -> int | None:
        """The epoch of the row."""
        return self.row.epoch if self.row else None

    @property
    def owner(self) -> str | None:
        """The reader that owns the row; None after a clean release."""
        return (self.row.owner or None) if self.row else None

    @property
    def lag(self) -> int | None:
        """How many offsets lie between the position and the end of the log."""
        if self.position is None or self.end is None:
            return None
        return max(0, self.end - self.position)


class Group:
    """What the commands do with a group."""

    def __init__(self, subject: Subject) -> None:
        """Be about the group of ``subject``; nothing is asked yet."""
        self.name = subject.group
        self.kafka = GroupAdmin(subject.kafka)
        self._inspector = Inspector(subject.kafka)
        self._store = subject.store

    def chosen(self, topics: Iterable[str]) -> list[TopicPartition]:
        """Return the partitions that ``topics`` name: ``orders``, or ``orders:0,1``."""
        existing, keys = self.kafka.topics(), []
        for text in topics:
            named = _TOPIC.fullmatch(text)
            if named is None:
                raise ConfigurationError(
                    f"--topic {text} is neither TOPIC nor TOPIC:0,1,2; nothing was done."
                )
            topic, numbers = named["topic"], named["partitions"]
            count = existing.get(topic, 0)
            wanted = [int(n) for n in numbers.split(",")] if numbers else [*range(count)]
            if not count or max(wanted) >= count:
                raise ConfigurationError(
                    f"--topic {text}: the topic {topic} has {count} partitions here; nothing was "
                    "done."
                )
            keys += [TopicPartition(topic, number) for number in wanted]
        return sorted(set(keys))

    def standings(self, keys: Sequence[TopicPartition] | None = None) -> list[Standing]:
        """Return how ``keys`` stand; without, all partitions of the topics the group knows.

        Raises ``ConfigurationError`` where no broker answers, and ``BrokerError`` where Kafka does
        not tell of a log, as of one without a leader.
        """
        existing, committed = self.kafka.topics(), self.kafka.committed()
        with self._session() as session:
            rows = self._insist(session.all_positions)
        if keys is None:
            topics = {key.topic for key in (*rows, *committed)}
            there = {TopicPartition(t, n) for t in topics for n in range(existing.get(t, 0))}
            keys = sorted({*rows, *committed, *there})
        logs = [key for key in keys if key.partition < existing.get(key.topic, 0)]
        seen = self._inspector.inspect(logs) if logs else {}
        untold = [key for key in logs if key not in seen or seen[key].low is None]
        if untold:
            names = ", ".join(map(str, untold))
            raise BrokerError(f"Kafka does not tell of {names} at present; nothing was done.")
        known = {key: (s.low, s.high, s.identity) for key, s in seen.items()}
        return [
            Standing(key, rows.get(key), committed.get(key), *known.get(key, ())) for key in keys
        ]

    def move(self, standings: Iterable[Standing], wanted: Mapping[TopicPartition, int]) -> None:
        """Store the positions of ``wanted`` under new epochs, and leave the rows without owner.

        They belong to the topic that there is now, whatever the row said before. ``standings`` are
        what the positions were chosen from: a row that was claimed since is left where it is.
        Raises ``StoreError`` naming it.
        """
        counts, epochs = self.kafka.topics(), self._leader_epochs(wanted)
        starts = {
            key: Start(
                wanted[key],
                counts[key.topic],
                replaces=each.epoch,
                identity=each.identity,
                leader_epoch=epochs.get(key),
            )
            for each in standings
            for key in [each.partition]
        }
        with self._session() as session:
            claims = self._insist(lambda: session.claim([*starts], starts)).positions
            session.release(
                [Move(k, row.epoch, row.next_offset, row.next_offset) for k, row in claims.items()]
            )
        stand = {key: row.next_offset for key, row in claims.items()}
        missed = ", ".join(str(key) for key, offset in wanted.items() if stand.get(key) != offset)
        if missed:
            raise StoreError(
                f"{missed}: a consumer claimed it at the same moment, and its position was not "
                "changed; all others were. Stop the consumers of the group, and do it again."
            )

    def _leader_epochs(self, wanted: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Return under which leader the message before each position was written, if it is there.

        A consumer asks again for the same message, and so notices that the log was truncated.
        """
        before = {key: offset - 1 for key, offset in wanted.items() if offset > 0}
        found = self._inspector.look_up(before) if before else {}
        return {
            key: message.leader_epoch
            for key, message in found.items()
            if message and message.offset == before[key] and message.leader_epoch is not None
        }

    @contextmanager
    def _session(self) -> Iterator[StoreSession[Any]]:
        owner = f"offsets:{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex}"
        session = self._store.open(self.name, owner)
        try:
            yield session
        finally:
            session.close()

    def _insist(self, action: Callable[[], T]) -> T:
        """Do ``action``, again while the database asks for it."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return action()
            except TransientStoreError:
                if time.monotonic() >= until:
                    raise
            time.sleep(0.2)
