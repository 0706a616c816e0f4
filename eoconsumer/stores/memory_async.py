"""The in-memory store for asyncio: it defines what each call means, and where it may be left.

Each call gives others a turn before its effect and behind it, as a network would. A task that is
cancelled at the first of these has done nothing, and at the second everything; it cannot tell.
"""

from __future__ import annotations

from asyncio import sleep
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Self, TypeVar

from eoconsumer.core.applied import Applied
from eoconsumer.core.capabilities import EVERYTHING
from eoconsumer.core.lanes import WHOLE, Lane
from eoconsumer.core.letters import DeadLetter, Letter, Selection
from eoconsumer.core.positions import Claims, Move, Position, Start
from eoconsumer.message import MessageKey, TopicPartition
from eoconsumer.protocols import AsyncCommitsOnLeaving
from eoconsumer.stores.memory import (
    MemorySession,
    MemoryStore,
    MemoryStoreSession,
    MemoryTransaction,
)

T = TypeVar("T")


async def _sent(call: Callable[[], T]) -> T:
    """Do ``call`` as a server would: later than it was sent, and before its answer is here."""
    await sleep(0)
    result = call()
    await sleep(0)
    return result


class AsyncMemoryStore:
    """A store in this process's memory; ``tables`` holds what handlers appended."""

    capabilities = EVERYTHING

    def __init__(self, memory: MemoryStore | None = None) -> None:
        """Start empty, or with what another store holds."""
        self.memory = memory or MemoryStore()

    @classmethod
    def connect(cls, url: str) -> Self:  # noqa: ARG003 - the shape of every store's `connect`
        """Start empty, for ``memory://``."""
        return cls()

    @property
    def tables(self) -> dict[str, list[object]]:
        """What handlers appended, by name."""
        return self.memory.tables

    @property
    def dead_letters(self) -> list[Letter]:
        """All dead letters, in the order in which they were buried."""
        return self.memory.dead_letters

    @property
    def transaction_seconds(self) -> float | None:
        """How long a transaction may take; None: no limit."""
        return self.memory.transaction_seconds

    async def setup(self) -> None:
        """Nothing to make."""

    async def open(self, group: str, owner: str) -> AsyncMemoryStoreSession:
        """Open a session for one reader."""
        return await self.open_lane(group, owner, WHOLE)

    async def open_lane(self, group: str, owner: str, lane: Lane) -> AsyncMemoryStoreSession:
        """Open a session for one lane, or for the reader of all (number 0)."""
        opened = self.memory.open_lane
        return await _sent(lambda: AsyncMemoryStoreSession(opened(group, owner, lane)))

    async def letters(self, which: Selection, after: Letter | None, limit: int) -> list[Letter]:
        """Return dead letters in their order."""
        return await _sent(lambda: self.memory.letters(which, after, limit))

    async def applied(
        self, group: str, partition: TopicPartition, first: int, upto: int
    ) -> AsyncIterator[Applied]:
        """Read the applied-log."""
        for line in await _sent(lambda: self.memory.applied(group, partition, first, upto)):
            yield line

    async def close(self) -> None:
        """Nothing to close."""


class AsyncMemoryStoreSession:
    """One reader's session with an ``AsyncMemoryStore``."""

    def __init__(self, memory: MemoryStoreSession) -> None:
        """Await what ``memory`` does."""
        self._memory = memory

    @property
    def session(self) -> MemorySession:
        """The native session: lists of values, by name."""
        return self._memory.session

    async def claim(
        self, partitions: Sequence[TopicPartition], starts: Mapping[TopicPartition, Start]
    ) -> Claims:
        """Raise the epochs, own the rows, return the positions; make rows from ``starts``."""
        return await _sent(lambda: self._memory.claim(partitions, starts))

    async def positions(
        self, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, Position]:
        """Read the rows."""
        return await _sent(lambda: self._memory.positions(partitions))

    async def all_positions(self) -> dict[TopicPartition, Position]:
        """Read all rows of the group."""
        return await _sent(self._memory.all_positions)

    async def release(self, moves: Sequence[Move]) -> None:
        """Clear the owner of rows that are still ours."""
        await _sent(lambda: self._memory.release(moves))

    async def write(self, writes: Sequence[Any]) -> None:
        """Append what handlers returned: tuples (table, value)."""
        await _sent(lambda: self._memory.write(writes))

    async def advance(self, moves: Sequence[Move]) -> None:
        """Move what is still ours; raise ``Fenced`` with the rest."""
        await _sent(lambda: self._memory.advance(moves))

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Keep dead letters."""
        await _sent(lambda: self._memory.bury(letters))

    async def remove(self, letter: Letter) -> None:
        """Remove a dead letter."""
        await _sent(lambda: self._memory.remove(letter))

    async def note_failure(self, letter: Letter, error: BaseException) -> None:
        """Note one more attempt of a dead letter."""
        await _sent(lambda: self._memory.note_failure(letter, error))

    async def note_applied(self, lines: Sequence[Applied]) -> None:
        """Keep lines of the applied-log."""
        await _sent(lambda: self._memory.note_applied(lines))

    async def transaction(self) -> AsyncMemoryTransaction:
        """Open a transaction."""
        return await _sent(lambda: AsyncMemoryTransaction(self._memory.transaction()))

    async def translate(self, error: BaseException) -> BaseException:
        """Nothing that happens in memory is transient."""
        return self._memory.translate(error)

    async def flush(self) -> None:
        """Nothing is left to write: all is written at once."""

    def culprit(self, error: BaseException, messages: int) -> int | None:
        """No command in memory has more than one write."""
        return self._memory.culprit(error, messages)

    async def close(self) -> None:
        """Nothing is held."""


class AsyncMemoryTransaction(AsyncCommitsOnLeaving):
    """Buffered writes that become visible together, or never."""

    def __init__(self, memory: MemoryTransaction) -> None:
        """Begin."""
        self._memory = memory

    @property
    def session(self) -> MemorySession:
        """The native session, whose writes are buffered."""
        return self._memory.session

    async def write(self, writes: Sequence[Any]) -> None:
        """Append what handlers returned: tuples (table, value)."""
        await _sent(lambda: self._memory.write(writes))

    async def advance(self, moves: Sequence[Move]) -> None:
        """Compare now, so that a former owner learns at once; move at the commit."""
        await _sent(lambda: self._memory.advance(moves))

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Keep dead letters once this commits."""
        await _sent(lambda: self._memory.bury(letters))

    async def remove(self, letter: Letter) -> None:
        """Remove a dead letter once this commits."""
        await _sent(lambda: self._memory.remove(letter))

    async def lift(self, key: MessageKey) -> bool:
        """End a quarantine once this commits."""
        return await _sent(lambda: self._memory.lift(key))

    async def note_applied(self, lines: Sequence[Applied]) -> None:
        """Keep lines of the applied-log once this commits."""
        await _sent(lambda: self._memory.note_applied(lines))

    async def commit(self) -> None:
        """Compare again and make everything visible; a second call does nothing."""
        await _sent(self._memory.commit)

    async def abort(self) -> None:
        """Forget everything."""
        self._memory.abort()

    async def __aenter__(self) -> Self:
        """Begin."""
        self._memory.__enter__()
        return self
