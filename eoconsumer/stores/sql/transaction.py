"""One transaction: the handler's writes and the positions, both or neither."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from eoconsumer.core.applied import Applied
from eoconsumer.core.letters import DeadLetter, Letter
from eoconsumer.core.positions import Move
from eoconsumer.errors import CommitInDoubt, StoreError, TransientStoreError
from eoconsumer.message import MessageKey
from eoconsumer.protocols import CommitsOnLeaving
from eoconsumer.stores.sql import writes
from eoconsumer.stores.sql.groups import Write
from eoconsumer.stores.sql.guard import ReaderSession
from eoconsumer.stores.sql.rows import stands_at
from eoconsumer.stores.sql.translation import Kind, kind_of, summary, transient, translated

if TYPE_CHECKING:
    from eoconsumer.stores.sql.session import SQLSession


class SQLTransaction(CommitsOnLeaving):
    """A transaction on the reader's connection."""

    def __init__(self, owner: SQLSession) -> None:
        """Begin; takes one round trip."""
        self._owner = owner
        self._connection = owner.connection
        self._connection.begin()
        connection = self._connection.live
        self._session = ReaderSession(lambda: connection, self._connection.guard)
        self._moves: tuple[Move, ...] = ()
        self._open = True
        self._sent = self._done = False

    @property
    def session(self) -> Session:
        """The session of SQLAlchemy, on the connection on which the transaction is open."""
        return self._session

    def flush(self) -> None:
        """Write what the handler left in the session, behind a look at what went wrong in it."""
        guard = self._connection.guard
        guard.check()
        self._session.flush()
        guard.check()

    def write(self, statements: Sequence[Write]) -> None:
        """Send writes; see the protocol."""
        self._flush()
        writes.send(self._connection, statements)

    def advance(self, moves: Sequence[Move]) -> None:
        """Move the positions; see ``Offsets.advance``. Raises what the handler did not let out."""
        self._flush()
        self._owner.rows.advance(moves)
        self._moves = (*self._moves, *moves)

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Write dead letters that become visible with the positions, and what they hold."""
        self._flush()
        self._owner.quarantine.hold(letters)
        self._owner.letters.add(letters)

    def remove(self, letter: Letter) -> None:
        """Remove a dead letter, together with what its handler writes."""
        self._owner.letters.remove(letter)

    def lift(self, key: MessageKey) -> bool:
        """End the quarantine of ``key`` if nothing of it is left."""
        self._flush()
        return self._owner.quarantine.lift(key)

    def note_applied(self, lines: Sequence[Applied]) -> None:
        """Write lines of the applied-log that become visible with the positions."""
        self._flush()
        self._owner.log.add(lines)

    def commit(self) -> None:
        """Commit; after ``CommitInDoubt`` a further call finds out whether it happened."""
        if self._done:
            return
        if self._sent:
            self._look()
            return
        self._flush()
        self._leave()
        self._sent = True
        try:
            self._connection.live.commit()
        except SQLAlchemyError as error:
            kind = kind_of(error)
            if kind is Kind.LOST:
                self._connection.drop()
                raise CommitInDoubt(f"The commit's answer was lost: {summary(error)}") from error
            if kind is not Kind.DATA:
                raise transient(error) from error
            raise StoreError(
                f"The database refused to commit; nothing was stored. It said: {summary(error)}"
            ) from error
        self._done = True

    def abort(self) -> None:
        """Roll back; a server that cannot be reached forgets the transaction by itself."""
        if self._open:
            self._leave()
        self._connection.roll_back()

    def _look(self) -> None:
        """Read the rows, behind our own mark: by then the old connection's transaction is over."""
        self._connection.drop()
        try:
            rows = self._owner.rows.find([move.partition for move in self._moves])
        except TransientStoreError as error:
            raise CommitInDoubt(
                f"The commit's answer was lost, and nobody answers now: {summary(error)}"
            ) from error
        if not self._moves:  # nothing that could tell
            raise CommitInDoubt
        if not all(stands_at(rows.get(move.partition), move) for move in self._moves):
            raise TransientStoreError(
                "The commit's answer was lost, and the position says that it did not happen; the "
                "batch is done again."
            )
        self._done = True

    def _flush(self) -> None:
        with translated("write what the handler left in the session"):
            self.flush()

    def _leave(self) -> None:
        self._open = False
        self._connection.guard.watching = False
        self._session.close()  # leaves the transaction as it is
