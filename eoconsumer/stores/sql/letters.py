"""Dead letters as rows: nothing of the message is lost, whatever bytes it holds."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, insert, select, tuple_, update

from eoconsumer.core.letters import LOST, DeadLetter, Failure, Letter, Selection
from eoconsumer.errors import LetterGone
from eoconsumer.message import Record
from eoconsumer.stores.sql.connection import ReaderConnection
from eoconsumer.stores.sql.tables import dead_letters as table
from eoconsumer.stores.sql.tables import now
from eoconsumer.stores.sql.translation import translated

#: The order of letters, and the index that has it.
PLACE = (
    table.c.group_name,
    table.c.topic,
    table.c.partition_number,
    table.c.offset_number,
    table.c.id,
)


def find(engine: Engine, which: Selection, after: Letter | None, limit: int) -> list[Letter]:
    """Return letters that everybody can see, in their order; see the protocol."""
    if which.id is not None and not which.id.isdecimal():
        return []  # of another store, or mistyped: there is no such letter
    number = None if which.id is None else int(which.id)
    values = (which.group, which.topic, which.partition, which.offset, number)
    wanted = [c == value for c, value in zip(PLACE, values, strict=True) if value is not None]
    if after is not None:
        place = (after.group, *after.partition, after.offset, int(after.id))
        wanted.append(tuple_(*PLACE) > tuple_(*place))
    statement = select(table).where(*wanted).order_by(*PLACE).limit(limit)
    with translated("read dead letters"), engine.connect() as connection:
        return [_letter(row) for row in connection.execute(statement)]


class Letters:
    """What one reader does to the dead letters of its group."""

    def __init__(self, connection: ReaderConnection, group: str) -> None:
        """Write them through ``connection``."""
        self._connection = connection
        self._group = group

    def add(self, letters: Sequence[DeadLetter]) -> None:
        """Write ``letters``."""
        rows = [_row(self._group, letter) for letter in letters]
        if rows:
            with self._connection.work("write dead letters") as connection:
                connection.execute(insert(table), rows)

    def remove(self, letter: Letter) -> None:
        """Remove ``letter``; raises ``LetterGone``, or at once where another is removing it."""
        database, here = self._connection.database, table.c.id == int(letter.id)
        with self._connection.work("remove a dead letter") as connection:
            connection.execute(database.locked(select(table.c.id).where(here), skip=False))
            removed = connection.execute(delete(table).where(here)).rowcount
        if not removed:
            raise LetterGone(f"The dead letter {letter} is gone: it was applied or dropped.")

    def note_failure(self, letter: Letter, error: BaseException) -> None:
        """Note one more attempt, and its error."""
        with self._connection.work("update a dead letter") as connection:
            connection.execute(
                update(table)
                .where(table.c.id == int(letter.id))
                .values(attempts=table.c.attempts + 1, **_failure(error))
            )

    def any_of(self, connection: Connection, topic: str, partition: int, key: bytes) -> bool:
        """Whether a letter of ``key`` is left; the open transaction may have begun long ago.

        A plain read shows the state of the transaction's first one at REPEATABLE READ: 1. the
        handler of a redrive reads something, 2. a reader parks message 51 and commits, 3. we look,
        and do not see 51. A locking read shows what is there now; but it would wait for another
        redrive that is just removing a letter of the key, so it comes second.
        """
        left = select(table.c.id).where(
            table.c.group_name == self._group,
            table.c.topic == topic,
            table.c.partition_number == partition,
            table.c.key_digest == digest(key),
        )
        reads = (left.limit(1), left.limit(1).with_for_update(read=True))
        return any(connection.execute(read).first() is not None for read in reads)


def digest(key: bytes) -> bytes:
    """Return what a key is found by."""
    return sha256(key).digest()


def _row(group: str, letter: DeadLetter) -> dict[str, Any]:
    """Return the row for ``letter``: what is None stays None."""
    message = letter.message
    key = message.raw_key
    kept = letter.headers
    headers = None
    if kept is not None:
        headers = [[name, None if v is None else b64encode(v).decode()] for name, v in kept]
    return {
        "group_name": group,
        "topic": message.topic,
        "partition_number": message.partition,
        "offset_number": message.offset,
        "timestamp_ms": message.timestamp,
        "key_bytes": key,
        "key_digest": None if key is None else digest(key),
        "value_bytes": message.raw_value,
        "headers": json.dumps(headers),
        "attempts": letter.attempts,
        "buried_at": now(),
        **_failure(letter.error),
    }


def _letter(row: Row[Any]) -> Letter:
    """Return what ``row`` says; bytes are what they were in Kafka."""
    headers = json.loads(row.headers)
    record = Record(
        row.topic,
        row.partition_number,
        row.offset_number,
        row.value_bytes,
        row.key_bytes,
        LOST
        if headers is None
        else tuple((name, None if v is None else b64decode(v)) for name, v in headers),
        row.timestamp_ms,
    )
    failure = Failure(row.error_type, row.error_text, row.error_traceback)
    return Letter(str(row.id), row.group_name, record, failure, row.attempts, row.buried_at)


def _failure(error: BaseException) -> dict[str, str]:
    failure = Failure.of(error)
    return {
        "error_type": _text(failure.type)[:400],
        "error_text": _text(failure.text),
        "error_traceback": _text(failure.traceback),
    }


def _text(text: str) -> str:
    """Return ``text`` so that every database can hold it: no NUL, and no lone surrogates."""
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")
