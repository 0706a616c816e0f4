"""Dead letters, the keys that wait behind them, and the applied-log; in an open transaction."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from eoconsumer.core.applied import Applied
from eoconsumer.core.letters import DeadLetter, Failure, Hold, Letter, Selection
from eoconsumer.errors import LetterGone, QuarantineLifted
from eoconsumer.message import MessageKey, Record, TopicPartition

KEY = "grp = ? AND topic = ? AND part = ? AND key = ?"


def find(
    database: sqlite3.Connection, which: Selection, after: Letter | None, limit: int
) -> list[Letter]:
    wanted = (which.group, which.topic, which.partition, which.offset, which.id)
    place = (after.group, *after.partition, after.offset, int(after.id)) if after else ("",) * 5
    columns = ("grp", "topic", "part", "at", "CAST(id AS TEXT)")
    asked = " AND ".join(f"(?{n} IS NULL OR {c} = ?{n})" for n, c in enumerate(columns, 1))
    found = database.execute(
        f"SELECT * FROM eoconsumer_dead_letters WHERE {asked}"
        " AND (grp, topic, part, at, id) > (?6, ?7, ?8, ?9, ?10)"
        " ORDER BY grp, topic, part, at, id LIMIT ?11",
        (*wanted, *place, limit),
    )
    return [_letter(*row) for row in found]


def _letter(id: int, group: str, *columns: Any) -> Letter:
    *place, value, key, headers, timestamp, kind, text, trace, attempts, buried_at = columns
    pairs = json.loads(headers)
    named = tuple((name, None if h is None else bytes.fromhex(h)) for name, h in pairs)
    topic, partition, offset = place
    record = Record(topic, partition, offset, value, key, named, timestamp)
    when = datetime.fromisoformat(buried_at)
    return Letter(str(id), group, record, Failure(kind, text, trace), attempts, when)


def bury(database: sqlite3.Connection, group: str, dead: Sequence[DeadLetter]) -> None:
    for each in dead:
        letter = Letter.of("", group, each, datetime.now(UTC))
        record, failure = letter.record, letter.failure
        headers = [(name, None if h is None else h.hex()) for name, h in record.header_list]
        database.execute(
            f"INSERT INTO eoconsumer_dead_letters VALUES (NULL{', ?' * 13})",
            (group, *letter.partition, letter.offset, record.payload, record.key_bytes,
             json.dumps(headers), record.timestamp_ms, failure.type, failure.text,
             failure.traceback, letter.attempts, letter.buried_at.isoformat()),
        )  # fmt: skip


def remove(database: sqlite3.Connection, letter: Letter) -> None:
    gone = "DELETE FROM eoconsumer_dead_letters WHERE id = ?"
    if database.execute(gone, (letter.id,)).rowcount != 1:
        raise LetterGone


def note_failure(database: sqlite3.Connection, letter: Letter, error: BaseException) -> None:
    failure = Failure.of(error)
    database.execute(
        "UPDATE eoconsumer_dead_letters SET type = ?, text = ?, traceback = ?,"
        " attempts = attempts + 1 WHERE id = ?",
        (failure.type, failure.text, failure.traceback, letter.id),
    )


def held(database: sqlite3.Connection, group: str, partition: TopicPartition) -> frozenset[bytes]:
    query = "SELECT key FROM eoconsumer_quarantine WHERE grp = ? AND topic = ? AND part = ?"
    return frozenset(key for (key,) in database.execute(query, (group, *partition)))


def hold(database: sqlite3.Connection, group: str, dead: Sequence[DeadLetter]) -> None:
    """Put keys into quarantine; what waits for one that is free may be handled instead."""
    begun = {each.key for each in dead if each.hold is Hold.BEGINS and each.key}
    put = "INSERT OR IGNORE INTO eoconsumer_quarantine VALUES (?, ?, ?, ?)"
    database.executemany(put, [(group, *key.partition, key.key) for key in begun])
    waits = {each.key for each in dead if each.hold is Hold.WAITS and each.key}
    free = [key for key in waits if key.key not in held(database, group, key.partition)]
    if free:
        raise QuarantineLifted(free)


def lift(database: sqlite3.Connection, group: str, key: MessageKey) -> bool:
    where = (group, *key.partition, key.key)
    left = f"SELECT 1 FROM eoconsumer_dead_letters WHERE {KEY}"
    if database.execute(left, where).fetchone():
        return False
    database.execute(f"DELETE FROM eoconsumer_quarantine WHERE {KEY}", where)
    return True


def note(database: sqlite3.Connection, group: str, lines: Sequence[Applied]) -> None:
    for line in lines:
        key = (group, *line.partition, line.epoch, line.number, line.first, line.upto)
        database.execute(
            "INSERT OR IGNORE INTO eoconsumer_applied VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*key, json.dumps(line.ranges), json.dumps(line.passed)),
        )


def applied(
    database: sqlite3.Connection, group: str, partition: TopicPartition, first: int, upto: int
) -> Iterator[Applied]:
    for epoch, number, ranges, passed in database.execute(
        "SELECT epoch, number, ranges, passed FROM eoconsumer_applied WHERE grp = ? AND topic = ?"
        " AND part = ? AND first < ? AND upto > ? ORDER BY first",
        (group, *partition, upto, first),
    ):
        pairs = tuple((low, high) for low, high in json.loads(ranges))
        yield Applied(partition, epoch, number, pairs, tuple(json.loads(passed)))
