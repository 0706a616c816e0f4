"""A store of one's own: positions and the handler's rows together, in a file of SQLite.

Whoever writes begins as the one writer (BEGIN IMMEDIATE), and others read meanwhile. So what a
transaction reads stays true until its commit, and each promise is a plain statement.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from eoconsumer import errors
from eoconsumer.core.capabilities import Capability
from eoconsumer.core.positions import Claims, Identity, Move, Position, Start
from eoconsumer.message import TopicPartition
from eoconsumer.protocols import Store, StoreSession, Transaction

TABLES = """
CREATE TABLE IF NOT EXISTS eo_offsets (
    grp, topic, part, next_offset, epoch, owner, handed_over, topic_id, cluster_id, leader,
    PRIMARY KEY (grp, topic, part));
CREATE TABLE IF NOT EXISTS eo_topics (grp, topic, partitions, PRIMARY KEY (grp, topic));
"""
START = """
INSERT INTO eo_offsets VALUES (?, ?, ?, ?, 0, '', ?, ?, ?, ?) ON CONFLICT DO UPDATE
SET (next_offset, handed_over, topic_id, cluster_id, leader) = (excluded.next_offset,
    excluded.handed_over, excluded.topic_id, excluded.cluster_id, excluded.leader)
WHERE epoch = ?
"""
KNOWN = "INSERT OR IGNORE INTO eo_topics SELECT ?1, ?2, ?3 WHERE ?3 > 0"  # 0: not known
TOPICS = "SELECT topic, partitions FROM eo_topics WHERE grp = ?"
ROWS = "SELECT * FROM eo_offsets WHERE grp = ?"
ROW = "WHERE grp = ? AND topic = ? AND part = ?"
OWN = f"UPDATE eo_offsets SET epoch = epoch + 1, owner = ? {ROW}"
FREE = f"UPDATE eo_offsets SET owner = '' {ROW} AND epoch = ?"
MOVE = f"UPDATE eo_offsets SET next_offset = ?, leader = ? {ROW} AND epoch = ? AND next_offset = ?"


class SQLiteStore(Store[sqlite3.Connection]):
    capabilities = frozenset({Capability.WRITES})

    def __init__(self, path: str) -> None:
        self.path = path

    @classmethod
    def connect(cls, url: str) -> "SQLiteStore":
        if not (path := url.partition(":///")[2]):
            raise errors.ConfigurationError("The URL names no file; its form is custom:///shop.db.")
        return cls(path)

    def setup(self) -> None:
        with closing(self.database()) as database:
            database.executescript("PRAGMA journal_mode = WAL;" + TABLES)

    def database(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=1, isolation_level=None, check_same_thread=False)

    def open(self, group: str, owner: str) -> "SQLiteSession":
        return SQLiteSession(self.database(), group, owner)


class SQLiteSession(StoreSession[sqlite3.Connection]):
    def __init__(self, database: sqlite3.Connection, group: str, owner: str) -> None:
        self.database, self.group, self.owner = database, group, owner

    @property
    def session(self) -> sqlite3.Connection:
        return self.database  # handlers get it as it is

    def claim(
        self, partitions: Sequence[TopicPartition], starts: Mapping[TopicPartition, Start]
    ) -> Claims:
        with self.transaction():
            for key, start in starts.items():
                log = (start.identity.topic_id, start.identity.cluster_id, start.leader_epoch)
                row = (self.group, *key, start.next_offset, start.handed_over, *log)
                self.database.execute(START, (*row, start.replaces))
                self.database.execute(KNOWN, (self.group, key.topic, start.partitions))
            for key in partitions:
                self.database.execute(OWN, (self.owner, self.group, *key))
            topics = self.database.execute(TOPICS, (self.group,))
            return Claims(self.positions(partitions), dict(topics))

    def all_positions(self) -> dict[TopicPartition, Position]:
        rows = self.database.execute(ROWS, (self.group,))
        found = {}
        for _, *key, at, epoch, owner, handed_over, topic_id, cluster_id, leader in rows:
            log = Identity(topic_id, cluster_id)
            found[TopicPartition(*key)] = Position(at, epoch, owner, bool(handed_over), log, leader)
        return found

    def release(self, moves: Sequence[Move]) -> None:
        with self.transaction():
            for move in moves:
                self.database.execute(FREE, (self.group, *move.partition, move.epoch))

    def transaction(self) -> "SQLiteTransaction":
        try:
            self.database.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise self.translate(error) from None
        return SQLiteTransaction(self.database, self.group)

    def translate(self, error: BaseException) -> BaseException:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            return errors.TransientStoreError(f"Another transaction is at work: {error}")
        return error

    def close(self) -> None:
        self.database.close()  # rolls back


class SQLiteTransaction(Transaction[sqlite3.Connection]):
    def __init__(self, database: sqlite3.Connection, group: str) -> None:
        self.database, self.group, self.committed = database, group, False

    @property
    def session(self) -> sqlite3.Connection:
        return self.database

    def write(self, writes: Sequence[Any]) -> None:
        for index, write in enumerate(writes):
            if not isinstance(write, tuple):
                raise errors.HandlerMisuse(f"A {type(write).__name__} is no (SQL, parameters).")
            try:
                self.database.execute(*write)
            except sqlite3.Error as error:
                raise errors.WriteFailed(index) from error

    def advance(self, moves: Sequence[Move]) -> None:
        if not self.database.in_transaction:
            raise errors.HandlerMisuse("The handler ended the transaction; no position was stored.")
        gone = []
        for key, epoch, expected, upto, leader_epoch in moves:
            values = (upto, leader_epoch, self.group, *key, epoch, expected)
            if self.database.execute(MOVE, values).rowcount != 1:
                gone.append(key)
        if gone:
            raise errors.Fenced(gone)

    def commit(self) -> None:
        if not self.committed:
            self.database.execute("COMMIT")
            self.committed = True

    def abort(self) -> None:
        if self.database.in_transaction:
            self.database.execute("ROLLBACK")
