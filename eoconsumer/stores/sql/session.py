"""A reader's session with a SQL database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from eoconsumer.core.applied import Applied
from eoconsumer.core.lanes import WHOLE, Lane
from eoconsumer.core.letters import DeadLetter, Letter
from eoconsumer.core.positions import Claims, Move, Position, Start
from eoconsumer.errors import HandlerMisuse
from eoconsumer.message import TopicPartition
from eoconsumer.stores.sql import writes
from eoconsumer.stores.sql.applied import AppliedLog
from eoconsumer.stores.sql.claims import Claimer, Open
from eoconsumer.stores.sql.connection import ReaderConnection
from eoconsumer.stores.sql.database import Database
from eoconsumer.stores.sql.groups import Buffer, Write
from eoconsumer.stores.sql.letters import Letters
from eoconsumer.stores.sql.quarantine import Quarantine
from eoconsumer.stores.sql.rows import Offsets, position
from eoconsumer.stores.sql.transaction import SQLTransaction
from eoconsumer.stores.sql.translation import Kind, kind_of, transient, translated


class SQLSession:
    """One long-lived connection, whose mark the rows carry as their owner's."""

    def __init__(
        self,
        engine: Engine,
        database: Database,
        group: str,
        owner: str,
        connections: Open,
        lane: Lane = WHOLE,
    ) -> None:
        """Open for the reader ``owner`` of ``group``, or for its ``lane``.

        Connects at the first use; ``connections`` are those that this process has.
        """
        self.connection = ReaderConnection(engine, database)
        self.rows = Offsets(self.connection, group, lane)
        self.letters = Letters(self.connection, group)
        self.quarantine = Quarantine(self.connection, self.letters, group)
        self.log = AppliedLog(self.connection, group)
        self._claimer = Claimer(self.connection, self.rows, self.quarantine, owner, connections)
        self._transaction: SQLTransaction | None = None

    @property
    def session(self) -> Session:
        """The session of SQLAlchemy outside of a transaction: each write commits on its own."""
        return self.connection.session

    def claim(
        self, partitions: Sequence[TopicPartition], starts: Mapping[TopicPartition, Start]
    ) -> Claims:
        """Own the rows of ``partitions``; see the protocol.

        Takes eleven round trips at most, and two more where there were lanes; where open
        transactions hold rows, a few for each former owner and as many again.
        """
        return self._claimer.claim(partitions, starts)

    def positions(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Position]:
        """Read the rows, never older than our own last write."""
        return {key: position(row) for key, row in self.rows.find(partitions).items()}

    def all_positions(self) -> dict[TopicPartition, Position]:
        """Read all rows of the group in the same way."""
        return {key: position(row) for key, row in self.rows.all().items()}

    def release(self, moves: Sequence[Move]) -> None:
        """Note that rows which are still ours have no live owner any more."""
        self.rows.release(moves)

    def write(self, statements: Sequence[Write]) -> None:
        """Send writes in a transaction of their own; see the protocol."""
        with translated("connect"):
            writes.send(self.connection, statements)

    def advance(self, moves: Sequence[Move]) -> None:
        """Write the positions on their own; what matched stays where ``Fenced`` is raised."""
        self.rows.advance(moves)

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Write dead letters."""
        self.letters.add(letters)

    def remove(self, letter: Letter) -> None:
        """Remove a dead letter."""
        self.letters.remove(letter)

    def note_failure(self, letter: Letter, error: BaseException) -> None:
        """Note one more attempt of a dead letter, and its error."""
        self.letters.note_failure(letter, error)

    def note_applied(self, lines: Sequence[Applied]) -> None:
        """Write lines of the applied-log."""
        self.log.add(lines)

    def transaction(self) -> SQLTransaction:
        """Open a transaction."""
        self._transaction = SQLTransaction(self)
        return self._transaction

    def translate(self, error: BaseException) -> BaseException:
        """Return what ``error`` means, with what is known about its transaction.

        The first trouble counts: what failed first, and was swallowed, made the rest fail. Where
        somebody held a row for too long it may be a former owner that hangs; it is ended then.
        Outside of a transaction the objects that the handler left are forgotten: its message
        failed, and adds them once more, or passes.
        """
        self.connection.forget_session()
        kind, trouble = kind_of(error), self.connection.guard.trouble
        if kind is Kind.BLOCKED:
            self._claimer.end_formers()
        if kind is not Kind.DATA:
            return trouble if isinstance(trouble, HandlerMisuse) else transient(error)
        if isinstance(trouble, HandlerMisuse):
            # SQLAlchemy complains of a connection on which the handler was refused a commit.
            refused = trouble.__cause__ is None and isinstance(error, SQLAlchemyError)
            return trouble if refused else error
        return trouble or error

    def flush(self) -> None:
        """Write what the handler left in the session, that of the open transaction if there is."""
        if self._transaction is not None and self.connection.guard.watching:
            self._transaction.flush()
        else:
            self.connection.flush()

    def buffer(self) -> Buffer:
        """Return an empty buffer for what handlers return."""
        return Buffer()

    def culprit(self, error: BaseException, messages: int) -> int | None:  # noqa: ARG002 - the contract
        """No driver says which of many parameters the database refused; ``write`` finds out."""
        return None

    def close(self) -> None:
        """End the session; an open transaction is rolled back."""
        if self._transaction is not None:
            self._transaction.abort()
        self._claimer.close()
        self.connection.close()
