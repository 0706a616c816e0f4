"""Keys in quarantine: one row for each, which whoever parks or releases a message writes.

The reader that parks message 51, and the redrive that applies the 50 before it, do not see each
other's open transactions. If they only *read* the row, both could commit: 51 parked, and nobody to
release it. So both lock it, and the one that comes second fails at once. It looks again: the
redrive finds 51 and goes on with it, or the reader finds no row, and 51 is handled as usual.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, delete, select, update

from eoconsumer.core.letters import DeadLetter, Hold
from eoconsumer.errors import QuarantineLifted
from eoconsumer.message import MessageKey, TopicPartition
from eoconsumer.stores.sql.connection import ReaderConnection
from eoconsumer.stores.sql.letters import Letters, digest
from eoconsumer.stores.sql.tables import now
from eoconsumer.stores.sql.tables import quarantine as table


class Quarantine:
    """The keys of one group that are in quarantine."""

    def __init__(self, connection: ReaderConnection, letters: Letters, group: str) -> None:
        """Keep them through ``connection``; ``letters`` are what they are there for."""
        self._connection = connection
        self._letters = letters
        self._group = group

    def keys(self, connection: Connection) -> dict[TopicPartition, frozenset[bytes]]:
        """Return all keys, by partition."""
        found = connection.execute(
            select(table.c.topic, table.c.partition_number, table.c.key_bytes).where(
                table.c.group_name == self._group
            )
        )
        keys: dict[TopicPartition, set[bytes]] = defaultdict(set)
        for topic, partition, key in found:
            keys[TopicPartition(topic, partition)].add(key)
        return {partition: frozenset(those) for partition, those in keys.items()}

    def hold(self, letters: Sequence[DeadLetter]) -> None:
        """Put keys in, and check those that letters wait for; writes the row of each.

        Raises ``QuarantineLifted`` naming the keys that are not there any more.
        """
        held = [letter for letter in letters if letter.hold is not Hold.NONE]
        counts = Counter(letter.key for letter in held if letter.key is not None)
        begins = {letter.key for letter in held if letter.hold is Hold.BEGINS}
        free = []
        with self._connection.work("put keys into quarantine") as connection:
            for key, count in sorted(counts.items()):
                self._lock(connection, key)
                more = update(table).where(self._is(key))
                more = more.values(letters=table.c.letters + count, updated_at=now())
                if connection.execute(more).rowcount:
                    continue
                if key in begins:
                    self._put_in(connection, key, count)
                else:
                    free.append(key)
        if free:
            raise QuarantineLifted(free)

    def lift(self, key: MessageKey) -> bool:
        """Take ``key`` out if nothing of it is left; return whether it is out."""
        with self._connection.work("lift a quarantine") as connection:
            if not self._lock(connection, key):
                return True
            if self._letters.any_of(connection, *key.partition, key.key):
                return False
            connection.execute(delete(table).where(self._is(key)))
        return True

    def _lock(self, connection: Connection, key: MessageKey) -> bool:
        """Lock the row of ``key``, or fail at once; return whether there is one."""
        row = select(table.c.letters).where(self._is(key))
        locked = self._connection.database.locked(row, skip=False)
        return connection.execute(locked).first() is not None

    def _put_in(self, connection: Connection, key: MessageKey, count: int) -> None:
        topic, partition = key.partition
        row = {
            "group_name": self._group,
            "topic": topic,
            "partition_number": partition,
            "key_digest": digest(key.key),
            "key_bytes": key.key,
            "letters": count,
            "updated_at": now(),
        }
        connection.execute(table.insert(), row)

    def _is(self, key: MessageKey) -> ColumnElement[bool]:
        topic, partition = key.partition
        return (
            (table.c.group_name == self._group)
            & (table.c.topic == topic)
            & (table.c.partition_number == partition)
            & (table.c.key_digest == digest(key.key))
        )
