"""The SQL store for asyncio: what users construct."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Self, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import greenlet_spawn

from eoconsumer.core.applied import Applied
from eoconsumer.core.capabilities import Capability
from eoconsumer.core.lanes import WHOLE, Lane
from eoconsumer.core.letters import Letter, Selection
from eoconsumer.core.verify import Mark, Marker
from eoconsumer.errors import ConfigurationError
from eoconsumer.message import TopicPartition
from eoconsumer.stores.sql.session_async import AsyncSQLSession
from eoconsumer.stores.sql.store import SQLStore
from eoconsumer.stores.sql.url import ASYNC_DRIVERS, engine_of

T = TypeVar("T")


class AsyncSQLStore:
    """What ``SQLStore`` is to threads, for asyncio.

    >>> store = AsyncSQLStore.connect("postgresql+psycopg://localhost/shop")
    >>> await session.execute(insert(ledger).values(qty=1))
    """

    #: SQL transactions may take as long as they like.
    transaction_seconds: float | None = None

    def __init__(self, engine: AsyncEngine) -> None:
        """Use a ready ``engine``, which stays the caller's to dispose.

        Raises ``ConfigurationError`` for one that blocks, and for another kind of database.
        """
        if not isinstance(engine, AsyncEngine):
            raise ConfigurationError(
                "This engine blocks the event loop; nothing was consumed. Give AsyncSQLStore one "
                "of create_async_engine(), or use SQLStore with a Consumer."
            )
        self.engine = engine
        self._blocking = SQLStore(engine.sync_engine)
        self._owned = False

    @classmethod
    def connect(cls, url: str) -> Self:
        """Make an engine for ``url``, which names the database; ``close`` disposes of it.

        Without a driver in the URL it is psycopg, asyncmy or aiosqlite. Raises
        ``ConfigurationError`` for a URL that cannot be used, and for a driver that blocks.
        """
        store = cls(engine_of(create_async_engine, url, ASYNC_DRIVERS))
        store._owned = True
        return store

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the database can do; see ``SQLStore.capabilities``."""
        return self._blocking.capabilities

    async def setup(self) -> None:
        """Check the server and make the tables; see ``SQLStore.setup``."""
        await greenlet_spawn(self._blocking.setup)

    async def diagnose(self) -> list[tuple[str, bool, str]]:
        """Return each check's name, whether it passed, and what it found or what to do."""
        return await greenlet_spawn(self._blocking.diagnose)

    async def open(self, group: str, owner: str) -> AsyncSQLSession:
        """Open a session for one reader; ``owner`` is unique among all readers, ever."""
        return await self.open_lane(group, owner, WHOLE)

    async def open_lane(self, group: str, owner: str, lane: Lane) -> AsyncSQLSession:
        """Open a session for one lane, or for the reader that has them; see ``SQLStore``."""
        return AsyncSQLSession(self._blocking.open_lane(group, owner, lane))

    async def letters(self, which: Selection, after: Letter | None, limit: int) -> list[Letter]:
        """Return dead letters; see the protocol."""
        return await greenlet_spawn(self._blocking.letters, which, after, limit)

    def applied(
        self, group: str, partition: TopicPartition, first: int, upto: int
    ) -> AsyncGenerator[Applied, None]:
        """Read the applied-log; see the protocol."""
        return _each(self._blocking.applied(group, partition, first, upto))

    def marks(
        self, marker: Marker, partition: TopicPartition, first: int, upto: int
    ) -> AsyncGenerator[Mark, None]:
        """Read what a user's own rows say of their messages; see ``SQLStore.marks``.

        It keeps a connection until its end: close it (``contextlib.aclosing``) if you leave it.
        """
        return _each(self._blocking.marks(marker, partition, first, upto))

    async def close(self) -> None:
        """Dispose of the engine if ``connect`` made it."""
        if self._owned:
            await self.engine.dispose()

    def __repr__(self) -> str:
        """Name the database, never the URL: it may hold a password."""
        return f"Async{self._blocking!r}"


async def _each(values: Generator[T, None, None]) -> AsyncGenerator[T, None]:
    """Yield what ``values`` yields; the connection of one that is left is given back here."""
    try:
        while (value := await greenlet_spawn(next, values, None)) is not None:
            yield value
    finally:
        await greenlet_spawn(values.close)
