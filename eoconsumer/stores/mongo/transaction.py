"""One transaction: the handler's writes and the positions, both or neither.

``AsyncMongoTransaction`` has the logic, for every driver; ``MongoTransaction`` is the same for
threads.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self

import pymongo
from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError

from eoconsumer.core.applied import Applied
from eoconsumer.core.letters import DeadLetter, Letter
from eoconsumer.core.positions import Move
from eoconsumer.errors import CommitInDoubt, StoreError, TransientStoreError
from eoconsumer.message import MessageKey
from eoconsumer.protocols import AsyncCommitsOnLeaving, CommitsOnLeaving
from eoconsumer.stores.mongo.applied import AppliedLog
from eoconsumer.stores.mongo.concerns import Attempt, inside
from eoconsumer.stores.mongo.driver import OwnSession
from eoconsumer.stores.mongo.letters import Letters
from eoconsumer.stores.mongo.quarantine import Quarantine
from eoconsumer.stores.mongo.rows import Rows
from eoconsumer.stores.mongo.translation import (
    IN_DOUBT,
    INTERRUPTED,
    is_conflict,
    is_transient,
    summary,
    transient,
)
from eoconsumer.stores.mongo.writes import Writes
from eoconsumer.stores.twins import answer, finished

#: How long we try to tell the server that a transaction is given up; it forgets by itself.
ABORT_SECONDS = 1.0


class AsyncMongoTransaction(AsyncCommitsOnLeaving):
    """A transaction on the reader's session; begins without a round trip."""

    def __init__(
        self,
        session: OwnSession,
        rows: Rows,
        letters: Letters,
        quarantine: Quarantine,
        applied: AppliedLog,
        writes: Writes,
        conflict: Callable[[], Awaitable[None]],
    ) -> None:
        """Begin nothing yet.

        ``conflict`` is awaited where another transaction holds what is to be written.
        """
        self._session = session
        self._rows = rows
        self._letters = letters
        self._quarantine = quarantine
        self._applied = applied
        self._writes = writes
        self._conflict = conflict
        self._open = False
        self._attempt = Attempt()

    async def begin(self) -> Self:
        """Begin: from here on the handler's writes are inside, also those without a session."""
        await answer(self._session.begin_ours())
        self._session.guard.watch()
        inside.set(self._attempt)
        self._open = True
        return self

    @property
    def session(self) -> Any:
        """The driver's session on which the transaction is open."""
        return self._session

    async def write(self, writes: Sequence[Any]) -> None:
        """Send what handlers returned; see the protocol."""
        self._session.guard.check()
        try:
            await self._writes.send(writes)
        except TransientStoreError as error:
            if is_conflict(error):  # perhaps with an owner that died
                await self._conflict()
            raise

    async def advance(self, moves: Sequence[Move]) -> None:
        """Move the positions; see ``Rows.advance``. Raises what the handler did not let out."""
        self._session.guard.check()
        await self._rows.advance(moves, self._session)

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Write dead letters that become visible with the positions, and what they hold."""
        self._session.guard.check()
        try:
            await self._quarantine.hold(letters, self._session)
        except TransientStoreError as error:
            if is_conflict(error):  # with a redrive, or with an owner that died
                await self._conflict()
            raise
        await self._letters.add(self._rows.group, letters, self._session)

    async def remove(self, letter: Letter) -> None:
        """Remove a dead letter, together with what its handler writes."""
        await self._letters.remove(letter, self._session)

    async def lift(self, key: MessageKey) -> bool:
        """End the quarantine of ``key`` if nothing of it is left."""
        self._session.guard.check()
        return await self._quarantine.lift(key, self._session)

    async def note_applied(self, lines: Sequence[Applied]) -> None:
        """Write lines of the applied-log that become visible with the positions."""
        self._session.guard.check()
        await self._applied.add(self._rows.group, lines, self._session)

    async def commit(self) -> None:
        """Commit; after ``CommitInDoubt`` a further call repeats the commit, never the writes."""
        if self._open:
            self._session.guard.check()
            await self._leave()
        try:
            await answer(self._session.commit_ours())
        except PyMongoError as error:
            # The driver does not know that a commit which is interrupted may wait for a majority.
            if error.has_error_label(IN_DOUBT) or getattr(error, "code", None) == INTERRUPTED:
                raise CommitInDoubt(f"The commit's answer was lost: {summary(error)}") from error
            if is_transient(error):
                raise transient(error) from error
            raise StoreError(
                f"MongoDB refused to commit; nothing was stored. It said: {summary(error)}"
            ) from error

    async def abort(self) -> None:
        """Roll back; a server that cannot be reached forgets the transaction by itself."""
        await self._leave()
        if self._session.in_transaction:
            with pymongo.timeout(ABORT_SECONDS):
                await answer(self._session.abort_ours())

    async def _leave(self) -> None:
        if self._open:
            self._open = False
            self._attempt.over = True  # before the driver's session is in no transaction any more
            self._session.guard.watching = False
            inside.set(None)
            await answer(self._session.leave_ours())


class MongoTransaction(CommitsOnLeaving):
    """The same for threads."""

    def __init__(self, steps: AsyncMongoTransaction) -> None:
        """Finish the ``steps`` of each call at once: the driver blocks."""
        self._steps = steps

    @property
    def session(self) -> ClientSession:
        """The session of pymongo on which the transaction is open."""
        session: ClientSession = self._steps.session
        return session

    def write(self, writes: Sequence[Any]) -> None:
        """Send what handlers returned; see the protocol."""
        finished(self._steps.write(writes))

    def advance(self, moves: Sequence[Move]) -> None:
        """Move the positions; see ``Rows.advance``. Raises what the handler did not let out."""
        finished(self._steps.advance(moves))

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Write dead letters that become visible with the positions, and what they hold."""
        finished(self._steps.bury(letters))

    def remove(self, letter: Letter) -> None:
        """Remove a dead letter, together with what its handler writes."""
        finished(self._steps.remove(letter))

    def lift(self, key: MessageKey) -> bool:
        """End the quarantine of ``key`` if nothing of it is left."""
        return finished(self._steps.lift(key))

    def note_applied(self, lines: Sequence[Applied]) -> None:
        """Write lines of the applied-log that become visible with the positions."""
        finished(self._steps.note_applied(lines))

    def commit(self) -> None:
        """Commit; after ``CommitInDoubt`` a further call repeats the commit, never the writes."""
        finished(self._steps.commit())

    def abort(self) -> None:
        """Roll back; a server that cannot be reached forgets the transaction by itself."""
        finished(self._steps.abort())
