"""What sessions and transactions have in common, and transactions."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any

from eoconsumer.core.applied import Applied
from eoconsumer.core.letters import DeadLetter, Letter
from eoconsumer.core.positions import Move
from eoconsumer.errors import Fenced, HandlerMisuse, TransientStoreError, WriteFailed
from eoconsumer.message import MessageKey

from . import letters

ROW = "grp = ? AND topic = ? AND part = ?"


@contextmanager
def atomic(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Write in a transaction of its own."""
    with busy():
        database.execute("BEGIN IMMEDIATE")
        try:
            yield database
        except BaseException:
            database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")


@contextmanager
def busy() -> Iterator[None]:
    """Ask for another try where another transaction is at work."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise
        raise TransientStoreError(f"Another transaction is at work: {error}") from error


class Scope:
    """What sessions and transactions have in common; ``session`` is what a handler gets."""

    def __init__(self, session: sqlite3.Connection, group: str) -> None:
        self.session, self.group = session, group

    def writing(self) -> AbstractContextManager[sqlite3.Connection]:
        return atomic(self.session)

    def write(self, writes: Sequence[Any]) -> None:
        for index, write in enumerate(writes):
            if not isinstance(write, tuple):
                raise HandlerMisuse(f"A {type(write).__name__} is no tuple (SQL, parameters).")
            try:
                self.session.execute(*write)
            except sqlite3.Error as error:
                raise WriteFailed(index) from error

    # --8<-- [start:advance]
    def advance(self, moves: Sequence[Move]) -> None:
        ours = f"{ROW} AND epoch = ? AND next_offset = ?"
        change = f"UPDATE eoconsumer_offsets SET next_offset = ?, leader_epoch = ? WHERE {ours}"
        gone = []
        with self.writing() as database:
            for key, epoch, expected, upto, leader_epoch in moves:
                now = (upto, leader_epoch, self.group, *key, epoch, expected)
                if database.execute(change, now).rowcount != 1:
                    gone.append(key)
        if gone:
            raise Fenced(gone)

    # --8<-- [end:advance]

    def bury(self, dead: Sequence[DeadLetter]) -> None:
        with self.writing() as database:
            letters.bury(database, self.group, dead)

    def remove(self, letter: Letter) -> None:
        with self.writing() as database:
            letters.remove(database, letter)

    def note_applied(self, lines: Sequence[Applied]) -> None:
        with self.writing() as database:
            letters.note(database, self.group, lines)


class Transaction(Scope):
    """Open from the start, so that nobody else writes until it is over."""

    def __init__(self, session: sqlite3.Connection, group: str) -> None:
        super().__init__(session, group)
        with busy():
            session.execute("BEGIN IMMEDIATE")
        self.committed = False

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        if not self.session.in_transaction:
            raise HandlerMisuse("The handler ended the transaction; nothing was stored.")
        yield self.session

    def bury(self, dead: Sequence[DeadLetter]) -> None:
        with self.writing() as database:
            letters.hold(database, self.group, dead)
            letters.bury(database, self.group, dead)

    def lift(self, key: MessageKey) -> bool:
        with self.writing() as database:
            return letters.lift(database, self.group, key)

    def commit(self) -> None:
        if not self.committed:
            with self.writing() as database, busy():
                database.execute("COMMIT")
            self.committed = True

    def abort(self) -> None:
        if self.session.in_transaction:
            self.session.execute("ROLLBACK")

    def __enter__(self) -> "Transaction":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if error is None:
            self.commit()
        else:
            self.abort()
