"""The MongoDB store for threads: what users construct."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

from pymongo import AsyncMongoClient, MongoClient
from pymongo.database import Database

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
from eoconsumer.stores.mongo.session import MongoSession
from eoconsumer.stores.mongo.url import client_of
from eoconsumer.stores.twins import finished, iterated


class MongoStore:
    """Positions and the handler's writes in one database of a MongoDB replica set.

    >>> store = MongoStore.connect("mongodb://localhost:27017/shop?replicaSet=rs0")
    >>> store.database["ledger"].insert_one({"qty": 1}, session=session)
    """

    capabilities = EVERYTHING

    def __init__(
        self,
        client: MongoClient[Document],
        database: str,
        *,
        offsets: str = "eoconsumer_offsets",
        dead_letters: str = "eoconsumer_dead_letters",
        quarantine: str = "eoconsumer_quarantine",
        applied: str = "eoconsumer_applied",
    ) -> None:
        """Use ``database`` of a ready ``client``, which stays the caller's to close.

        The other four are the names of the store's own collections. A client of mongomock serves
        ``eoconsumer.testing.feed`` only: ``setup`` refuses it. Raises ``ConfigurationError`` for a
        name that MongoDB does not take, and for retryWrites=false.
        """
        if isinstance(client, AsyncMongoClient):
            raise ConfigurationError(
                "It is a client of asyncio, which nobody awaits here; nothing was consumed. Give "
                "MongoStore a MongoClient, or use AsyncMongoStore with an AsyncConsumer."
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
        """Make a client for ``url``, which names the database; ``close`` closes it.

        Connects at the first use. Where the URL does not set ``heartbeatFrequencyMS`` (2,000),
        ``connectTimeoutMS`` and ``serverSelectionTimeoutMS`` (5,000), they are shorter than the
        driver's. Raises ``ConfigurationError`` for a URL that cannot be used.
        """
        client, database = client_of(MongoClient[Document], url)
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
    def client(self) -> MongoClient[Document]:
        """The client of pymongo."""
        return self.database.client

    @property
    def database(self) -> Database[Document]:
        """The database of pymongo; its writes wait for the majority, its reads ask the primary."""
        database: Database[Document] = self._parts.database
        return database

    @property
    def transaction_seconds(self) -> float:
        """How long a transaction may take; known from the server after ``setup``."""
        return self._parts.transaction_seconds

    def setup(self) -> None:
        """Check the deployment and make the collections; safe when many start at once.

        Raises ``ConfigurationError`` where the server is no replica set, too old, out of reach,
        or does not allow what is needed; ``TransientStoreError`` where the set has no primary at
        present.
        """
        finished(self._parts.setup())

    def diagnose(self) -> list[tuple[str, bool, str]]:
        """Return each check's name, whether it passed, and what it found or what to do.

        Where no server answers the first one, the others are not asked.
        """
        return finished(self._parts.diagnose())

    def open(self, group: str, owner: str) -> MongoSession:
        """Open a session for one reader; ``owner`` is unique among all readers, ever."""
        return MongoSession(finished(self._parts.open(group, owner)))

    def open_lane(self, group: str, owner: str, lane: Lane) -> MongoSession:
        """Open a session for one lane, or for the reader that has them; see the protocol."""
        return MongoSession(finished(self._parts.open(group, owner, lane)))

    def letters(self, which: Selection, after: Letter | None, limit: int) -> list[Letter]:
        """Return dead letters that the majority has; see the protocol."""
        return finished(self._parts.letters.find(which, after, limit))

    def applied(
        self, group: str, partition: TopicPartition, first: int, upto: int
    ) -> Iterator[Applied]:
        """Read the applied-log; see the protocol."""
        return iterated(self._parts.applied.find(group, partition, first, upto))

    def marks(
        self, marker: Marker, partition: TopicPartition, first: int, upto: int
    ) -> Iterator[Mark]:
        """Read what the user's own rows say of the messages that they came from, by offset."""
        return iterated(marks(self._parts.database, marker, partition, first, upto))

    def close(self) -> None:
        """Close the client if ``connect`` made it."""
        if self._owned:
            self.client.close()

    def __repr__(self) -> str:
        """Name the collections, never the URL: it may hold a password."""
        return self._parts.described(self)
