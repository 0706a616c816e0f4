"""A reader's session with MongoDB.

``AsyncMongoSession`` has the logic, for every driver; ``MongoSession`` is the same for threads.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Self

from pymongo.client_session import ClientSession

from eoconsumer.core.applied import Applied
from eoconsumer.core.lanes import Lane
from eoconsumer.core.letters import DeadLetter, Letter
from eoconsumer.core.positions import Claims, Move, Position, Start
from eoconsumer.errors import HandlerMisuse
from eoconsumer.message import TopicPartition
from eoconsumer.stores.mongo.applied import AppliedLog
from eoconsumer.stores.mongo.claims import Claimer, Open
from eoconsumer.stores.mongo.driver import AnyCollection, OwnSession
from eoconsumer.stores.mongo.guard import open_session
from eoconsumer.stores.mongo.letters import Letters
from eoconsumer.stores.mongo.operations import Buffer
from eoconsumer.stores.mongo.quarantine import Quarantine
from eoconsumer.stores.mongo.rows import Rows, position
from eoconsumer.stores.mongo.transaction import AsyncMongoTransaction, MongoTransaction
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
from eoconsumer.stores.twins import answer, finished


class AsyncMongoSession:
    """One long-lived session of a driver, so that the rows can name it as their owner's."""

    def __init__(
        self,
        session: OwnSession,
        offsets: AnyCollection,
        letters: Letters,
        quarantine: AnyCollection,
        applied: AppliedLog,
        group: str,
        owner: str,
        lane: Lane,
        sessions: Open,
    ) -> None:
        """Work for the reader ``owner`` of ``group``, through a guarded ``session``."""
        self._session = session
        self._rows = Rows(offsets, group, lane)
        self._quarantine = Quarantine(quarantine, letters.collection, group)
        self._writes = Writes(offsets.database, session)
        with translated("open a session"):  # its id is made when it is first asked for
            self._claimer = Claimer(self._rows, self._quarantine, owner, session, sessions)
        self._letters = letters
        self._applied = applied
        self._transaction: AsyncMongoTransaction | None = None

    @classmethod
    async def opened(
        cls,
        offsets: AnyCollection,
        letters: Letters,
        quarantine: AnyCollection,
        applied: AppliedLog,
        group: str,
        owner: str,
        lane: Lane,
        sessions: Open,
    ) -> Self:
        """Open for the reader ``owner`` of ``group``, or for one lane of it."""
        with translated("open a session"):
            session = await open_session(offsets.database.client)
        return cls(session, offsets, letters, quarantine, applied, group, owner, lane, sessions)

    @property
    def session(self) -> Any:
        """The driver's session; outside of a transaction it reads what it wrote."""
        return self._session

    async def claim(
        self, partitions: Sequence[TopicPartition], starts: Mapping[TopicPartition, Start]
    ) -> Claims:
        """Own the rows of ``partitions``; see the protocol.

        Takes three round trips; where open transactions hold rows, a few for each former owner.
        """
        return await self._claimer.claim(partitions, starts)

    async def positions(
        self, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, Position]:
        """Read the rows from the primary, never older than our own last write."""
        rows = await self._rows.find(partitions, self._session)
        return {key: position(row) for key, row in rows.items()}

    async def all_positions(self) -> dict[TopicPartition, Position]:
        """Read all rows of the group in the same way."""
        rows = await self._rows.all(self._session)
        return {key: position(row) for key, row in rows.items()}

    async def release(self, moves: Sequence[Move]) -> None:
        """Note that rows which are still ours have no live owner any more."""
        await self._rows.release(moves, self._session)

    async def write(self, writes: Sequence[Any]) -> None:
        """Send what handlers returned, each on its own."""
        await self._writes.send(writes)

    async def advance(self, moves: Sequence[Move]) -> None:
        """Write the positions on their own; what matched stays where ``Fenced`` is raised."""
        if self._session.in_transaction:
            raise HandlerMisuse(
                "The handler began a transaction on the session and left it open; the offsets were "
                "not stored. Commit it in the handler, or use mode exactly_once."
            )
        await self._rows.advance(moves, self._session)

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Write dead letters."""
        await self._letters.add(self._rows.group, letters, self._session)

    async def remove(self, letter: Letter) -> None:
        """Remove a dead letter."""
        await self._letters.remove(letter, self._session)

    async def note_failure(self, letter: Letter, error: BaseException) -> None:
        """Note one more attempt of a dead letter, and its error."""
        await self._letters.note_failure(letter, error, self._session)

    async def note_applied(self, lines: Sequence[Applied]) -> None:
        """Write lines of the applied-log."""
        await self._applied.add(self._rows.group, lines, self._session)

    async def transaction(self) -> AsyncMongoTransaction:
        """Open a transaction; takes no round trip."""
        self._transaction = AsyncMongoTransaction(
            self._session,
            self._rows,
            self._letters,
            self._quarantine,
            self._applied,
            self._writes,
            self._claimer.end_formers,
        )
        return await self._transaction.begin()

    async def translate(self, error: BaseException) -> BaseException:
        """Return what ``error`` means, with what is known about its transaction.

        The first trouble counts. A duplicate key that the handler swallowed makes all that
        follows look transient, and would be tried again for ever. A conflict may come from a
        former owner that died; then its session is ended.
        """
        if is_conflict(error):
            await self._claimer.end_formers()
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

    async def flush(self) -> None:
        """Nothing is left to write: all is written at once."""

    def buffer(self) -> Buffer:
        """Return an empty buffer for what handlers return."""
        return Buffer()

    def culprit(self, error: BaseException, messages: int) -> int | None:
        """Return which message a bulk write of one operation for each failed for."""
        return culprit(error, messages)

    async def close(self) -> None:
        """End the session; an open transaction is rolled back."""
        if self._transaction is not None:
            await self._transaction.abort()
        self._session.guard.watching = False
        await answer(self._session.end_ours())
        self._claimer.close()


class MongoSession:
    """The same for threads."""

    def __init__(self, steps: AsyncMongoSession) -> None:
        """Finish the ``steps`` of each call at once: the driver blocks."""
        self._of_any_thread = steps
        self._had_transactions = False

    @property
    def _steps(self) -> AsyncMongoSession:
        """The steps; who asks for them is the store's user, and no thread that a handler left."""
        if self._had_transactions:
            self._of_any_thread.session.guard.thread = threading.get_ident()
        return self._of_any_thread

    @property
    def session(self) -> ClientSession:
        """The session of pymongo; outside of a transaction it reads what it wrote."""
        session: ClientSession = self._steps.session
        return session

    def claim(
        self, partitions: Sequence[TopicPartition], starts: Mapping[TopicPartition, Start]
    ) -> Claims:
        """Own the rows of ``partitions``; see ``AsyncMongoSession.claim``."""
        return finished(self._steps.claim(partitions, starts))

    def positions(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Position]:
        """Read the rows from the primary, never older than our own last write."""
        return finished(self._steps.positions(partitions))

    def all_positions(self) -> dict[TopicPartition, Position]:
        """Read all rows of the group in the same way."""
        return finished(self._steps.all_positions())

    def release(self, moves: Sequence[Move]) -> None:
        """Note that rows which are still ours have no live owner any more."""
        finished(self._steps.release(moves))

    def write(self, writes: Sequence[Any]) -> None:
        """Send what handlers returned, each on its own."""
        finished(self._steps.write(writes))

    def advance(self, moves: Sequence[Move]) -> None:
        """Write the positions on their own; what matched stays where ``Fenced`` is raised."""
        finished(self._steps.advance(moves))

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Write dead letters."""
        finished(self._steps.bury(letters))

    def remove(self, letter: Letter) -> None:
        """Remove a dead letter."""
        finished(self._steps.remove(letter))

    def note_failure(self, letter: Letter, error: BaseException) -> None:
        """Note one more attempt of a dead letter, and its error."""
        finished(self._steps.note_failure(letter, error))

    def note_applied(self, lines: Sequence[Applied]) -> None:
        """Write lines of the applied-log."""
        finished(self._steps.note_applied(lines))

    def transaction(self) -> MongoTransaction:
        """Open a transaction; takes no round trip."""
        self._had_transactions = True
        return MongoTransaction(finished(self._steps.transaction()))

    def translate(self, error: BaseException) -> BaseException:
        """Return what ``error`` means; see ``AsyncMongoSession.translate``."""
        return finished(self._steps.translate(error))

    def flush(self) -> None:
        """Nothing is left to write: all is written at once."""

    def buffer(self) -> Buffer:
        """Return an empty buffer for what handlers return."""
        return Buffer()

    def culprit(self, error: BaseException, messages: int) -> int | None:
        """Return which message a bulk write of one operation for each failed for."""
        return self._steps.culprit(error, messages)

    def close(self) -> None:
        """End the session; an open transaction is rolled back."""
        finished(self._steps.close())
