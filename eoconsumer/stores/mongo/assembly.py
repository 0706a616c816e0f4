"""What a store of MongoDB is made of, whatever the driver."""

from __future__ import annotations

from typing import Any, NamedTuple

from pymongo.errors import PyMongoError

from eoconsumer.core.lanes import WHOLE, Lane
from eoconsumer.errors import ConfigurationError, TransientStoreError
from eoconsumer.stores.mongo.applied import AppliedLog
from eoconsumer.stores.mongo.claims import Open
from eoconsumer.stores.mongo.concerns import durable_database, is_mock, own_collection
from eoconsumer.stores.mongo.deployment import DEFAULT_LIFETIME_SECONDS, Deployment
from eoconsumer.stores.mongo.driver import AnyCollection
from eoconsumer.stores.mongo.letters import Letters
from eoconsumer.stores.mongo.session import AsyncMongoSession

#: The share of the server's limit that a transaction may use: the rest is for the commit.
LIFETIME_SHARE = 0.75


class Names(NamedTuple):
    """The names of the store's own collections."""

    offsets: str
    dead_letters: str
    quarantine: str
    applied: str


class Assembly:
    """A database of any of the drivers, with the store's own collections in it."""

    def __init__(self, client: Any, database: str, names: Names) -> None:
        """Ask nothing yet; raises ``ConfigurationError`` for a client that cannot be used."""
        if not hasattr(client, "get_default_database"):
            raise ConfigurationError(
                f"The first argument is a {type(client).__name__}, no client of MongoDB; nothing "
                "was consumed. Give a client, or the URL to connect()."
            )
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ConfigurationError(
                f"Two of the store's collections share the name {twice!r}; nothing was consumed. "
                "Give each its own."
            )
        if not is_mock(client) and not client.options.retry_writes:
            raise ConfigurationError(
                "The MongoDB client has retryWrites=false; nothing was consumed. Take it out of "
                "the URL: without it each lost connection would repeat or lose writes."
            )
        try:
            self.database = durable_database(client[database])
            self.offsets: AnyCollection = own_collection(self.database, names.offsets)
            self.letters = Letters(own_collection(self.database, names.dead_letters))
            self._quarantine: AnyCollection = own_collection(self.database, names.quarantine)
            self.applied = AppliedLog(own_collection(self.database, names.applied))
        except (PyMongoError, TypeError) as error:
            raise ConfigurationError(f"No such name in MongoDB: {error}") from error
        self._sessions: Open = {}
        self._lifetime = DEFAULT_LIFETIME_SECONDS
        self._deployment = Deployment(self.database, *names)

    @property
    def transaction_seconds(self) -> float:
        """How long a transaction may take; known from the server after ``setup``."""
        return self._lifetime * LIFETIME_SHARE

    async def setup(self) -> None:
        """Check the deployment and make the collections."""
        for check in self._deployment.checks.values():
            await check()
        await self._deployment.make_collections()
        self._lifetime = await self._deployment.lifetime_seconds()

    async def diagnose(self) -> list[tuple[str, bool, str]]:
        """Return each check's name, whether it passed, and what it found or what to do.

        Where no server answers the first one, the others are not asked.
        """
        results: list[tuple[str, bool, str]] = []
        for name, check in self._deployment.checks.items():
            try:
                results.append((name, True, await check()))
            except (ConfigurationError, TransientStoreError) as error:
                results.append((name, False, str(error)))
                if len(results) == 1 and error.__cause__ is not None:
                    break
        return results

    async def open(self, group: str, owner: str, lane: Lane = WHOLE) -> AsyncMongoSession:
        """Open a session for one reader, or for one lane."""
        return await AsyncMongoSession.opened(
            self.offsets,
            self.letters,
            self._quarantine,
            self.applied,
            group,
            owner,
            lane,
            self._sessions,
        )

    def described(self, store: object) -> str:
        """Name the collections, never the URL: it may hold a password."""
        letters = self.letters.collection.full_name
        return f"{type(store).__name__}({self.offsets.full_name!r}, {letters!r})"
