"""A reader's session with MongoDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.collection import Collection

from eoconsumer.core.applied import Applied
from eoconsumer.core.letters import DeadLetter, Letter
from eoconsumer.core.positions import Claims, Move, Position, Start
from eoconsumer.errors import HandlerMisuse
from eoconsumer.message import TopicPartition
from eoconsumer.stores.mongo.applied import AppliedLog
from eoconsumer.stores.mongo.claims import Claimer
from eoconsumer.stores.mongo.concerns import Document
from eoconsumer.stores.mongo.guard import end_session, open_session
from eoconsumer.stores.mongo.letters import Letters
from eoconsumer.stores.mongo.quarantine import Quarantine
from eoconsumer.stores.mongo.rows import Rows, position
from eoconsumer.stores.mongo.transaction import MongoTransaction
from eoconsumer.stores.mongo.translation import (
    INVALID_OPTIONS,
    culprit,
    is_conflict,
    is_transient,
    summary,
    transient,
    translated,
)
from eoconsumer.stores.mongo.writes import Writes


class MongoSession:
    """One long-lived session of pymongo, so that the rows can name it as their owner's."""

    def __init__(
        self,
        offsets: Collection[Document],
        letters: Letters,
        quarantine: Collection[Document],
        applied: AppliedLog,
        group: str,
        owner: str,
    ) -> None:
        """Open for the reader ``owner`` of ``group``."""
        with translated("open a session"):
            self._session = open_session(offsets.database.client)
            self._rows = Rows(offsets, group)
            self._quarantine = Quarantine(quarantine, letters.collection, group)
            self._writes = Writes(offsets.database, self._session)
            self._claimer = Claimer(self._rows, self._quarantine, owner, self._session)
        self._letters = letters
        self._applied = applied
        self._transaction: MongoTransaction | None = None

    @property
    def session(self) -> ClientSession:
        """The session of pymongo; outside of a transaction it reads what it wrote."""
        return self._session

    def claim(
        self, partitions: Sequence[TopicPartition], starts: Mapping[TopicPartition, Start]
    ) -> Claims:
        """Own the rows of ``partitions``; see the protocol.

        Takes three round trips; where open transactions hold rows, a few for each former owner.
        """
        return self._claimer.claim(partitions, starts)

    def positions(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Position]:
        """Read the rows from the primary, never older than our own last write."""
        rows = self._rows.find(partitions, self._session)
        return {key: position(row) for key, row in rows.items()}

    def all_positions(self) -> dict[TopicPartition, Position]:
        """Read all rows of the group in the same way."""
        return {key: position(row) for key, row in self._rows.all(self._session).items()}

    def release(self, moves: Sequence[Move]) -> None:
        """Note that rows which are still ours have no live owner any more."""
        self._rows.release(moves, self._session)

    def write(self, writes: Sequence[Any]) -> None:
        """Send what handlers returned, each on its own."""
        self._writes.send(writes)

    def advance(self, moves: Sequence[Move]) -> None:
        """Write the positions on their own; what matched stays where ``Fenced`` is raised."""
        if self._session.in_transaction:
            raise HandlerMisuse(
                "The handler began a transaction on the session and left it open; the offsets were "
                "not stored. Commit it in the handler, or use mode exactly_once."
            )
        self._rows.advance(moves, self._session)

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Write dead letters."""
        self._letters.add(self._rows.group, letters, self._session)

    def remove(self, letter: Letter) -> None:
        """Remove a dead letter."""
        self._letters.remove(letter, self._session)

    def note_failure(self, letter: Letter, error: BaseException) -> None:
        """Note one more attempt of a dead letter, and its error."""
        self._letters.note_failure(letter, error, self._session)

    def note_applied(self, lines: Sequence[Applied]) -> None:
        """Write lines of the applied-log."""
        self._applied.add(self._rows.group, lines, self._session)

    def transaction(self) -> MongoTransaction:
        """Open a transaction; takes no round trip."""
        self._transaction = MongoTransaction(
            self._session,
            self._rows,
            self._letters,
            self._quarantine,
            self._applied,
            self._writes,
            self._claimer.end_formers,
        )
        return self._transaction

    def translate(self, error: BaseException) -> BaseException:
        """Return what ``error`` means, with what is known about its transaction.

        The first trouble counts. A duplicate key that the handler swallowed makes all that
        follows look transient, and would be tried again for ever. A conflict may come from a
        former owner that died; then its session is ended.
        """
        if is_conflict(error):
            self._claimer.end_formers()
        trouble = self._session.guard.trouble
        if self._session.in_transaction and getattr(error, "code", None) == INVALID_OPTIONS:
            # pymongo sends a collection's own write concern where the session was only bound.
            misuse = HandlerMisuse(
                f"MongoDB refused a write of the handler: {summary(error)}. Pass session=session "
                "to it, or write through store.database; this batch was rolled back."
            )
            misuse.__cause__ = error
            return misuse
        if is_transient(error):
            return trouble if isinstance(trouble, HandlerMisuse) else transient(error)
        if trouble is None or isinstance(trouble, HandlerMisuse):
            return error
        return trouble

    def culprit(self, error: BaseException, messages: int) -> int | None:
        """Return which message a bulk write of one operation for each failed for."""
        return culprit(error, messages)

    def close(self) -> None:
        """End the session; an open transaction is rolled back."""
        if self._transaction is not None:
            self._transaction.abort()
        end_session(self._session)
