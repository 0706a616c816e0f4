"""The MongoDB store: what users construct."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self
from urllib.parse import parse_qsl

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import PyMongoError

from eoconsumer.core.applied import Applied
from eoconsumer.core.letters import Letter, Selection
from eoconsumer.core.verify import Mark, Marker
from eoconsumer.errors import ConfigurationError
from eoconsumer.message import TopicPartition
from eoconsumer.stores.mongo import applied as log
from eoconsumer.stores.mongo.concerns import Document, durable_database, is_mock, own_collection
from eoconsumer.stores.mongo.deployment import DEFAULT_LIFETIME_SECONDS, Deployment
from eoconsumer.stores.mongo.letters import Letters
from eoconsumer.stores.mongo.session import MongoSession

#: The share of the server's limit that a transaction may use: the rest is for the commit.
LIFETIME_SHARE = 0.75

#: With the driver's own settings a primary that hangs is noticed after 30 s; these make it 7 s.
#: And a try without a primary ends after 5 s instead of 30: how long to go on is ours to say.
NOTICE = {
    "heartbeatFrequencyMS": 2_000,
    "connectTimeoutMS": 5_000,
    "serverSelectionTimeoutMS": 5_000,
}

FORM = "Its form is mongodb://host:27017/shop?replicaSet=rs0, where shop is the database."


class MongoStore:
    """Positions and the handler's writes in one database of a MongoDB replica set.

    >>> store = MongoStore.connect("mongodb://localhost:27017/shop?replicaSet=rs0")
    >>> store.database["ledger"].insert_one({"qty": 1}, session=session)
    """

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
        if not is_mock(client) and not client.options.retry_writes:
            raise ConfigurationError(
                "The MongoDB client has retryWrites=false; nothing was consumed. Take it out of "
                "the URL: without it each lost connection would repeat or lose writes."
            )
        try:
            self._database = durable_database(client[database])
            self._offsets = own_collection(self._database, offsets)
            self._letters = Letters(own_collection(self._database, dead_letters))
            self._quarantine = own_collection(self._database, quarantine)
            self._applied = log.AppliedLog(own_collection(self._database, applied))
        except PyMongoError as error:
            raise ConfigurationError(f"No such name in MongoDB: {error}") from error
        self._owned = False
        self._lifetime = DEFAULT_LIFETIME_SECONDS
        self._deployment = Deployment(self._database, offsets, dead_letters, quarantine, applied)

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
        given = {name.lower() for name, _ in parse_qsl(url.partition("?")[2])}
        options: dict[str, Any] = {k: v for k, v in NOTICE.items() if k.lower() not in given}
        try:
            client = MongoClient[Document](
                url, connect=False, retryWrites=True, retryReads=True, **options
            )
        except (PyMongoError, ValueError, TypeError) as error:
            # What the driver says may quote a password that was not escaped.
            said = "user and password must be percent-encoded" if "@" in url else error
            raise ConfigurationError(
                f"The MongoDB URL cannot be used: {said}. Nothing was consumed. {FORM}"
            ) from None
        try:
            database = client.get_default_database().name
        except PyMongoError:
            raise ConfigurationError(
                f"The MongoDB URL names no database; nothing was consumed. {FORM}"
            ) from None
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
        return self._database.client

    @property
    def database(self) -> Database[Document]:
        """The database of pymongo; its writes wait for the majority, its reads ask the primary."""
        return self._database

    @property
    def transaction_seconds(self) -> float:
        """How long a transaction may take; known from the server after ``setup``."""
        return self._lifetime * LIFETIME_SHARE

    def setup(self) -> None:
        """Check the deployment and make the collections; safe when many start at once.

        Raises ``ConfigurationError`` where the server is no replica set, too old, out of reach,
        or does not allow what is needed.
        """
        for check in self._deployment.checks.values():
            check()
        self._deployment.make_collections()
        self._lifetime = self._deployment.lifetime_seconds()

    def diagnose(self) -> list[tuple[str, bool, str]]:
        """Return each check's name, whether it passed, and what it found or what to do.

        Where no server answers the first one, the others are not asked.
        """
        results: list[tuple[str, bool, str]] = []
        for name, check in self._deployment.checks.items():
            try:
                results.append((name, True, check()))
            except ConfigurationError as error:
                results.append((name, False, str(error)))
                if len(results) == 1 and error.__cause__ is not None:
                    break
        return results

    def open(self, group: str, owner: str) -> MongoSession:
        """Open a session for one reader; ``owner`` is unique among all readers, ever."""
        return MongoSession(
            self._offsets, self._letters, self._quarantine, self._applied, group, owner
        )

    def letters(self, which: Selection, after: Letter | None, limit: int) -> list[Letter]:
        """Return dead letters that the majority has; see the protocol."""
        return self._letters.find(which, after, limit)

    def applied(
        self, group: str, partition: TopicPartition, first: int, upto: int
    ) -> Iterator[Applied]:
        """Read the applied-log; see the protocol."""
        return self._applied.find(group, partition, first, upto)

    def marks(
        self, marker: Marker, partition: TopicPartition, first: int, upto: int
    ) -> Iterator[Mark]:
        """Read what the user's own rows say of the messages that they came from, by offset."""
        return log.marks(self._database, marker, partition, first, upto)

    def close(self) -> None:
        """Close the client if ``connect`` made it."""
        if self._owned:
            self.client.close()

    def __repr__(self) -> str:
        """Name the collections, never the URL: it may hold a password."""
        return f"MongoStore({self._offsets.full_name!r}, {self._letters.collection.full_name!r})"
