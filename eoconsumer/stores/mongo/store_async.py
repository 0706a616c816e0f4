"""The MongoDB store for asyncio: what users construct."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Self

from pymongo import AsyncMongoClient, MongoClient
from pymongo.asynchronous.database import AsyncDatabase

from eoconsumer.core.applied import Applied
from eoconsumer.core.capabilities import EVERYTHING
from eoconsumer.core.lanes import Lane
from eoconsumer.core.letters import Letter, Selection
from eoconsumer.core.verify import Mark, Marker
from eoconsumer.errors import ConfigurationError
from eoconsumer.message import TopicPartition
from eoconsumer.stores.mongo.applied import marks
from eoconsumer.stores.mongo.assembly import Assembly, Names
from eoconsumer.stores.mongo.concerns import Document
from eoconsumer.stores.mongo.session import AsyncMongoSession
from eoconsumer.stores.mongo.url import client_of
from eoconsumer.stores.twins import answer

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorClient


class AsyncMongoStore:
    """What ``MongoStore`` is to threads, for asyncio: with PyMongo Async, or with motor.

    >>> store = AsyncMongoStore.connect("mongodb://localhost:27017/shop?replicaSet=rs0")
    >>> await store.database["ledger"].insert_one({"qty": 1}, session=session)
    """

    capabilities = EVERYTHING

    def __init__(
        self,
        client: AsyncMongoClient[Document] | AsyncIOMotorClient[Document],
        database: str,
        *,
        offsets: str = "eoconsumer_offsets",
        dead_letters: str = "eoconsumer_dead_letters",
        quarantine: str = "eoconsumer_quarantine",
        applied: str = "eoconsumer_applied",
    ) -> None:
        """Use ``database`` of a ready ``client``, which stays the caller's to close.

        A client of motor has to be one for asyncio. The other four are the names of the store's
        own collections. Raises ``ConfigurationError`` for a client that blocks, for a name that
        MongoDB does not take, and for retryWrites=false.
        """
        if isinstance(client, MongoClient):
            raise ConfigurationError(
                "MongoClient blocks the event loop; nothing was consumed. Give AsyncMongoStore an "
                "AsyncMongoClient, or use MongoStore with a Consumer."
            )
        names = Names(offsets, dead_letters, quarantine, applied)
        self._parts = Assembly(client, database, names)
        self._owned = False

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        offsets: str = "eoconsumer_offsets",
        dead_letters: str = "eoconsumer_dead_letters",
        quarantine: str = "eoconsumer_quarantine",
        applied: str = "eoconsumer_applied",
    ) -> Self:
        """Make an ``AsyncMongoClient`` for ``url``, which names the database; ``close`` closes it.

        The settings and errors are those of ``MongoStore.connect``.
        """
        client, database = client_of(AsyncMongoClient[Document], url)
        store = cls(
            client,
            database,
            offsets=offsets,
            dead_letters=dead_letters,
            quarantine=quarantine,
            applied=applied,
        )
        store._owned = True
        return store

    @property
    def client(self) -> AsyncMongoClient[Document]:
        """The client of the driver; that of motor where it was given one."""
        return self.database.client

    @property
    def database(self) -> AsyncDatabase[Document]:
        """The database of the driver; its writes wait for the majority, its reads ask the primary.

        Where the store was given a client of motor, it is an ``AsyncIOMotorDatabase``.
        """
        database: AsyncDatabase[Document] = self._parts.database
        return database

    @property
    def transaction_seconds(self) -> float:
        """How long a transaction may take; known from the server after ``setup``."""
        return self._parts.transaction_seconds

    async def setup(self) -> None:
        """Check the deployment and make the collections; see ``MongoStore.setup``."""
        await self._parts.setup()

    async def diagnose(self) -> list[tuple[str, bool, str]]:
        """Return what the checks found; see ``MongoStore.diagnose``."""
        return await self._parts.diagnose()

    async def open(self, group: str, owner: str) -> AsyncMongoSession:
        """Open a session for one reader; ``owner`` is unique among all readers, ever."""
        return await self._parts.open(group, owner)

    async def open_lane(self, group: str, owner: str, lane: Lane) -> AsyncMongoSession:
        """Open a session for one lane, or for the reader that has them; see the protocol."""
        return await self._parts.open(group, owner, lane)

    async def letters(self, which: Selection, after: Letter | None, limit: int) -> list[Letter]:
        """Return dead letters that the majority has; see the protocol."""
        return await self._parts.letters.find(which, after, limit)

    def applied(
        self, group: str, partition: TopicPartition, first: int, upto: int
    ) -> AsyncIterator[Applied]:
        """Read the applied-log; see the protocol."""
        return self._parts.applied.find(group, partition, first, upto)

    def marks(
        self, marker: Marker, partition: TopicPartition, first: int, upto: int
    ) -> AsyncIterator[Mark]:
        """Read what the user's own rows say of the messages that they came from, by offset."""
        return marks(self._parts.database, marker, partition, first, upto)

    async def close(self) -> None:
        """Close the client if ``connect`` made it."""
        if self._owned:
            closing: Any = self.client.close()
            await answer(closing)

    def __repr__(self) -> str:
        """Name the collections, never the URL: it may hold a password."""
        return self._parts.described(self)
