"""One reader's session: claims, and what is read of positions."""

import sqlite3
from collections.abc import Mapping, Sequence

from eoconsumer.core.letters import Letter
from eoconsumer.core.positions import Claims, Identity, Move, Position, Start
from eoconsumer.errors import TransientStoreError
from eoconsumer.message import TopicPartition

from . import letters
from .writing import ROW, Scope, Transaction

START = "next_offset = ?, handed_over = ?, topic_id = ?, cluster_id = ?, leader_epoch = ?"


class Session(Scope):
    """One reader's connection."""

    def __init__(self, session: sqlite3.Connection, group: str, owner: str) -> None:
        super().__init__(session, group)
        self.owner = owner

    def claim(
        self, partitions: Sequence[TopicPartition], starts: Mapping[TopicPartition, Start]
    ) -> Claims:
        owned = f"UPDATE eoconsumer_offsets SET epoch = epoch + 1, owner = ? WHERE {ROW}"
        with self.writing() as database:
            for key, start in starts.items():
                self._start(database, key, start)
            database.executemany(owned, [(self.owner, self.group, *key) for key in partitions])
            rows = self._rows({key: letters.held(database, self.group, key) for key in partitions})
            topics = "SELECT topic, partitions FROM eoconsumer_topics WHERE grp = ?"
            return Claims(rows, dict(database.execute(topics, (self.group,))))

    def _start(self, database: sqlite3.Connection, key: TopicPartition, start: Start) -> None:
        new = "INSERT OR IGNORE INTO eoconsumer_offsets (grp, topic, part) VALUES (?, ?, ?)"
        is_new = database.execute(new, (self.group, *key)).rowcount == 1
        ids = (start.identity.topic_id, start.identity.cluster_id)
        values = (start.next_offset, start.handed_over, *ids, start.leader_epoch)
        database.execute(
            f"UPDATE eoconsumer_offsets SET {START} WHERE {ROW} AND (? OR epoch = ?)",
            (*values, self.group, *key, is_new, start.replaces),
        )
        if start.partitions:
            known = "INSERT OR IGNORE INTO eoconsumer_topics VALUES (?, ?, ?)"
            database.execute(known, (self.group, key.topic, start.partitions))

    def positions(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Position]:
        return self._rows(dict.fromkeys(partitions, frozenset()))

    def all_positions(self) -> dict[TopicPartition, Position]:
        keys = "SELECT topic, part FROM eoconsumer_offsets WHERE grp = ?"
        found = self.session.execute(keys, (self.group,)).fetchall()
        return self.positions([TopicPartition(*key) for key in found])

    def _rows(
        self, quarantined: Mapping[TopicPartition, frozenset[bytes]]
    ) -> dict[TopicPartition, Position]:
        query = f"SELECT * FROM eoconsumer_offsets WHERE {ROW}"
        rows = {}
        for key, keys in quarantined.items():
            for row in self.session.execute(query, (self.group, *key)):
                offset, epoch, owner, handed_over, topic_id, cluster_id, leader_epoch = row[3:]
                here = Identity(topic_id, cluster_id)
                values = (offset, epoch, owner, bool(handed_over), here, leader_epoch)
                rows[key] = Position(*values, keys)
        return rows

    def release(self, moves: Sequence[Move]) -> None:
        free = f"UPDATE eoconsumer_offsets SET owner = '' WHERE {ROW} AND epoch = ?"
        with self.writing() as database:
            database.executemany(free, [(self.group, *m.partition, m.epoch) for m in moves])

    def note_failure(self, letter: Letter, error: BaseException) -> None:
        with self.writing() as database:
            letters.note_failure(database, letter, error)

    def transaction(self) -> Transaction:
        return Transaction(self.session, self.group)

    def translate(self, error: BaseException) -> BaseException:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            return TransientStoreError(f"Another transaction is at work: {error}")
        return error

    def flush(self) -> None:
        """Nothing is left to write: all is written at once."""

    def culprit(self, error: BaseException, messages: int) -> int | None:
        return None

    def close(self) -> None:
        self.session.close()  # rolls back
