"""One transaction: the handler's writes and the positions, both or neither."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import pymongo
from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError

from eoconsumer.core.applied import Applied
from eoconsumer.core.letters import DeadLetter, Letter
from eoconsumer.core.positions import Move
from eoconsumer.errors import CommitInDoubt, StoreError, TransientStoreError
from eoconsumer.message import MessageKey
from eoconsumer.stores.mongo.applied import AppliedLog
from eoconsumer.stores.mongo.concerns import inside
from eoconsumer.stores.mongo.guard import GuardedSession
from eoconsumer.stores.mongo.letters import Letters
from eoconsumer.stores.mongo.quarantine import Quarantine
from eoconsumer.stores.mongo.rows import Rows
from eoconsumer.stores.mongo.translation import (
    IN_DOUBT,
    is_conflict,
    is_transient,
    summary,
    transient,
)
from eoconsumer.stores.mongo.writes import Writes

#: How long we try to tell the server that a transaction is given up; it forgets by itself.
ABORT_SECONDS = 1.0


class MongoTransaction:
    """A transaction on the reader's session; begins at once, without a round trip."""

    def __init__(
        self,
        session: GuardedSession,
        rows: Rows,
        letters: Letters,
        quarantine: Quarantine,
        applied: AppliedLog,
        writes: Writes,
        conflict: Callable[[], None],
    ) -> None:
        """Begin: from here on the handler's writes are inside, also those without a session.

        ``conflict`` is called where another transaction holds what is to be written.
        """
        self._session = session
        self._rows = rows
        self._letters = letters
        self._quarantine = quarantine
        self._applied = applied
        self._writes = writes
        self._conflict = conflict
        ClientSession.start_transaction(session)
        session.guard.watch()
        self._bound = session.bind(end_session=False)
        self._bound.__enter__()
        inside.set(True)
        self._open = True

    @property
    def session(self) -> ClientSession:
        """The session of pymongo on which the transaction is open."""
        return self._session

    def write(self, writes: Sequence[Any]) -> None:
        """Send what handlers returned; see the protocol."""
        try:
            self._writes.send(writes)
        except TransientStoreError as error:
            if is_conflict(error):  # perhaps with an owner that died
                self._conflict()
            raise

    def advance(self, moves: Sequence[Move]) -> None:
        """Move the positions; see ``Rows.advance``. Raises what the handler did not let out."""
        self._session.guard.check()
        self._rows.advance(moves, self._session)

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Write dead letters that become visible with the positions, and what they hold."""
        self._session.guard.check()
        try:
            self._quarantine.hold(letters, self._session)
        except TransientStoreError as error:
            if is_conflict(error):  # with a redrive, or with an owner that died
                self._conflict()
            raise
        self._letters.add(self._rows.group, letters, self._session)

    def remove(self, letter: Letter) -> None:
        """Remove a dead letter, together with what its handler writes."""
        self._letters.remove(letter, self._session)

    def lift(self, key: MessageKey) -> bool:
        """End the quarantine of ``key`` if nothing of it is left."""
        self._session.guard.check()
        return self._quarantine.lift(key, self._session)

    def note_applied(self, lines: Sequence[Applied]) -> None:
        """Write lines of the applied-log that become visible with the positions."""
        self._session.guard.check()
        self._applied.add(self._rows.group, lines, self._session)

    def commit(self) -> None:
        """Commit; after ``CommitInDoubt`` a further call repeats the commit, never the writes."""
        if self._open:
            self._session.guard.check()
            self._leave()
        try:
            ClientSession.commit_transaction(self._session)
        except PyMongoError as error:
            if error.has_error_label(IN_DOUBT):
                raise CommitInDoubt(f"The commit's answer was lost: {summary(error)}") from error
            if is_transient(error):
                raise transient(error) from error
            raise StoreError(
                f"MongoDB refused to commit; nothing was stored. It said: {summary(error)}"
            ) from error

    def abort(self) -> None:
        """Roll back; a server that cannot be reached forgets the transaction by itself."""
        self._leave()
        if self._session.in_transaction:
            with pymongo.timeout(ABORT_SECONDS):
                ClientSession.abort_transaction(self._session)

    def _leave(self) -> None:
        if self._open:
            self._open = False
            self._session.guard.watching = False
            inside.set(False)
            self._bound.__exit__(None, None, None)

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit, or roll back after an error."""
        if error is not None:
            self.abort()
            return
        try:
            self.commit()
        except BaseException:
            self.abort()  # does nothing where the commit was sent
            raise
