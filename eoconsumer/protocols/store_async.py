"""What a store for asyncio must do: the same, awaited."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from eoconsumer.core.applied import Applied
from eoconsumer.core.capabilities import Capability
from eoconsumer.core.lanes import Lane
from eoconsumer.core.letters import DeadLetter, Letter, Selection
from eoconsumer.core.positions import Claims, Move, Position, Start
from eoconsumer.errors import Fenced
from eoconsumer.message import MessageKey, TopicPartition
from eoconsumer.protocols.store import S_co


class AsyncScope(Protocol[S_co]):
    """What ``Scope`` is to threads, for asyncio: the same names and meanings, awaited.

    A caller that is cancelled while it waits does not know whether it was done, as after a lost
    answer.
    """

    @property
    @abstractmethod
    def session(self) -> S_co:
        """The native session of the database, handed to the handler."""

    async def write(self, writes: Sequence[Any]) -> None:
        """See ``Scope.write``."""
        raise Capability.WRITES.missing()

    @abstractmethod
    async def advance(self, moves: Sequence[Move]) -> None:
        """See ``Scope.advance``."""

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        """See ``Scope.bury``."""
        raise Capability.LETTERS.missing()

    async def remove(self, letter: Letter) -> None:
        """See ``Scope.remove``."""
        raise Capability.LETTERS.missing()

    async def note_applied(self, lines: Sequence[Applied]) -> None:
        """See ``Scope.note_applied``."""
        raise Capability.APPLIED_LOG.missing()


class AsyncCommitsOnLeaving(Protocol):
    """What ``CommitsOnLeaving`` is to threads, for asyncio."""

    @abstractmethod
    async def commit(self) -> None:
        """Commit."""

    @abstractmethod
    async def abort(self) -> None:
        """Roll back; does nothing where a commit was sent."""

    async def __aenter__(self) -> Self:
        """Begin."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit, or roll back after an error."""
        if error is not None:
            await self.abort()
            return
        try:
            await self.commit()
        except BaseException:
            await self.abort()
            raise


class AsyncTransaction(AsyncScope[S_co], AsyncCommitsOnLeaving, Protocol[S_co]):
    """One transaction, begun, used and ended by one task; commits when its block is left."""

    async def lift(self, key: MessageKey) -> bool:
        """See ``Transaction.lift``."""
        return True

    @abstractmethod
    async def commit(self) -> None:
        """See ``Transaction.commit``."""

    @abstractmethod
    async def abort(self) -> None:
        """See ``Transaction.abort``; it also ends what a cancelled call has left behind."""


class AsyncStoreSession(AsyncScope[S_co], Protocol[S_co]):
    """A reader's long-lived session with the store; used by one task at a time."""

    @abstractmethod
    async def claim(
        self, partitions: Sequence[TopicPartition], starts: Mapping[TopicPartition, Start]
    ) -> Claims:
        """See ``StoreSession.claim``."""

    async def positions(
        self, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, Position]:
        """See ``StoreSession.positions``."""
        rows = await self.all_positions()
        return {key: rows[key] for key in partitions if key in rows}

    @abstractmethod
    async def all_positions(self) -> dict[TopicPartition, Position]:
        """See ``StoreSession.all_positions``."""

    @abstractmethod
    async def release(self, moves: Sequence[Move]) -> None:
        """See ``StoreSession.release``."""

    async def write(self, writes: Sequence[Any]) -> None:
        """See ``AsyncScope.write``; if not overridden, in a transaction of their own."""
        async with await self.transaction() as own:
            await own.write(writes)

    async def advance(self, moves: Sequence[Move]) -> None:
        """See ``AsyncScope.advance``; if not overridden, each in a transaction of its own."""
        gone: list[TopicPartition] = []
        for move in moves:
            try:
                async with await self.transaction() as own:
                    await own.advance([move])
            except Fenced as fenced:
                gone += fenced.partitions
        if gone:
            raise Fenced(gone)

    async def note_failure(self, letter: Letter, error: BaseException) -> None:
        """See ``StoreSession.note_failure``."""
        raise Capability.LETTERS.missing()

    @abstractmethod
    async def transaction(self) -> AsyncTransaction[S_co]:
        """Open a transaction: ``async with await session.transaction() as transaction``."""

    @abstractmethod
    async def translate(self, error: BaseException) -> BaseException:
        """See ``StoreSession.translate``."""

    async def flush(self) -> None:
        """See ``StoreSession.flush``."""
        return

    def culprit(self, error: BaseException, messages: int) -> int | None:
        """See ``StoreSession.culprit``."""
        return None

    @abstractmethod
    async def close(self) -> None:
        """End the session; open transactions are rolled back."""


@runtime_checkable
class AsyncStore(Protocol[S_co]):
    """What ``Store`` is to threads, for asyncio; used on one event loop."""

    @property
    def transaction_seconds(self) -> float | None:
        """How long a transaction may take, from its begin to its commit; None: no limit."""
        return None

    @abstractmethod
    async def setup(self) -> None:
        """See ``Store.setup``."""

    @abstractmethod
    async def open(self, group: str, owner: str) -> AsyncStoreSession[S_co]:
        """See ``Store.open``."""

    async def letters(self, which: Selection, after: Letter | None, limit: int) -> Sequence[Letter]:
        """See ``Store.letters``."""
        raise Capability.LETTERS.missing()

    def applied(
        self, group: str, partition: TopicPartition, first: int, upto: int
    ) -> AsyncIterator[Applied]:
        """See ``Store.applied``."""
        raise Capability.APPLIED_LOG.missing()

    async def close(self) -> None:
        """Close what the store opened itself."""
        return


@runtime_checkable
class AsyncLaneStore(AsyncStore[S_co], Protocol[S_co]):
    """What ``LaneStore`` is to threads, for asyncio."""

    @abstractmethod
    async def open_lane(self, group: str, owner: str, lane: Lane) -> AsyncStoreSession[S_co]:
        """See ``LaneStore.open_lane``."""
