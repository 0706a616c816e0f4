"""A reader's session and its transactions for asyncio: those for threads, run in greenlets.

SQLAlchemy's asyncio drivers look like blocking ones to code that runs in a greenlet: where they
would wait, the greenlet gives way to the event loop. So the store's logic is there once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.util import greenlet_spawn

from eoconsumer.core.applied import Applied
from eoconsumer.core.letters import DeadLetter, Letter
from eoconsumer.core.positions import Claims, Move, Position, Start
from eoconsumer.message import MessageKey, TopicPartition
from eoconsumer.protocols import AsyncCommitsOnLeaving
from eoconsumer.stores.sql.groups import Buffer, Write
from eoconsumer.stores.sql.session import SQLSession
from eoconsumer.stores.sql.transaction import SQLTransaction


class AsyncSQLScope:
    """What transactions and sessions have in common."""

    _blocking: SQLSession | SQLTransaction

    async def write(self, statements: Sequence[Write]) -> None:
        """Send writes, in a transaction of their own where none is open; see the protocol."""
        await greenlet_spawn(self._blocking.write, statements)

    async def advance(self, moves: Sequence[Move]) -> None:
        """Write the positions."""
        await greenlet_spawn(self._blocking.advance, moves)

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Write dead letters, and in a transaction what they hold."""
        await greenlet_spawn(self._blocking.bury, letters)

    async def remove(self, letter: Letter) -> None:
        """Remove a dead letter."""
        await greenlet_spawn(self._blocking.remove, letter)

    async def note_applied(self, lines: Sequence[Applied]) -> None:
        """Write lines of the applied-log."""
        await greenlet_spawn(self._blocking.note_applied, lines)


class AsyncSQLSession(AsyncSQLScope):
    """What ``SQLSession`` is to threads, for asyncio."""

    def __init__(self, blocking: SQLSession) -> None:
        """Run ``blocking`` in greenlets; its engine has to be one of asyncio."""
        self._blocking: SQLSession = blocking

    @property
    def session(self) -> AsyncSession:
        """The session of SQLAlchemy outside of a transaction: each write commits on its own."""
        return awaited(self._blocking.session)

    async def claim(
        self, partitions: Sequence[TopicPartition], starts: Mapping[TopicPartition, Start]
    ) -> Claims:
        """Own the rows of ``partitions``; see the protocol."""
        return await greenlet_spawn(self._blocking.claim, partitions, starts)

    async def positions(
        self, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, Position]:
        """Read the rows, never older than our own last write."""
        return await greenlet_spawn(self._blocking.positions, partitions)

    async def all_positions(self) -> dict[TopicPartition, Position]:
        """Read all rows of the group in the same way."""
        return await greenlet_spawn(self._blocking.all_positions)

    async def release(self, moves: Sequence[Move]) -> None:
        """Note that rows which are still ours have no live owner any more."""
        await greenlet_spawn(self._blocking.release, moves)

    async def note_failure(self, letter: Letter, error: BaseException) -> None:
        """Note one more attempt of a dead letter, and its error."""
        await greenlet_spawn(self._blocking.note_failure, letter, error)

    async def transaction(self) -> AsyncSQLTransaction:
        """Open a transaction."""
        return AsyncSQLTransaction(await greenlet_spawn(self._blocking.transaction))

    async def translate(self, error: BaseException) -> BaseException:
        """Return what ``error`` means; see ``SQLSession.translate``."""
        return await greenlet_spawn(self._blocking.translate, error)

    async def flush(self) -> None:
        """Write what the handler left in the session, that of the open transaction if there is."""
        await greenlet_spawn(self._blocking.flush)

    def buffer(self) -> Buffer:
        """Return an empty buffer for what handlers return."""
        return Buffer()

    def culprit(self, error: BaseException, messages: int) -> int | None:
        """Return which message a handler of runs failed for; see ``SQLSession.culprit``."""
        return self._blocking.culprit(error, messages)

    async def close(self) -> None:
        """End the session; an open transaction is rolled back."""
        await greenlet_spawn(self._blocking.close)


class AsyncSQLTransaction(AsyncSQLScope, AsyncCommitsOnLeaving):
    """What ``SQLTransaction`` is to threads, for asyncio."""

    def __init__(self, blocking: SQLTransaction) -> None:
        """Run ``blocking``, which has begun, in greenlets."""
        self._blocking: SQLTransaction = blocking
        self._session = awaited(blocking.session)

    @property
    def session(self) -> AsyncSession:
        """The session of SQLAlchemy, on the connection on which the transaction is open."""
        return self._session

    async def lift(self, key: MessageKey) -> bool:
        """End the quarantine of ``key`` if nothing of it is left."""
        return await greenlet_spawn(self._blocking.lift, key)

    async def commit(self) -> None:
        """Commit; after ``CommitInDoubt`` a further call finds out whether it happened."""
        await greenlet_spawn(self._blocking.commit)

    async def abort(self) -> None:
        """Roll back, and with it what a cancelled call has left behind."""
        await greenlet_spawn(self._blocking.abort)


def awaited(session: Session) -> AsyncSession:
    """Return the session for asyncio that works on ``session``."""
    made = cast(type[Session], lambda **_: session)  # AsyncSession makes its own otherwise
    return AsyncSession(sync_session_class=made)
