"""What the server must be: a replica set with transactions, and a user that may do our work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pymongo
from pymongo.errors import (
    ConnectionFailure,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from eoconsumer.errors import ConfigurationError, EOConsumerError, TransientStoreError
from eoconsumer.stores.mongo.applied import BY_OFFSET
from eoconsumer.stores.mongo.concerns import Document, is_mock
from eoconsumer.stores.mongo.letters import PLACE
from eoconsumer.stores.mongo.translation import NAMESPACE_EXISTS, UNAUTHORIZED, summary
from eoconsumer.stores.twins import answer

#: How long a start waits for a primary.
SERVER_SECONDS = 5.0
OLDEST = (4, 2, 8)
DEFAULT_LIFETIME_SECONDS = 60.0

HOW_TO = (
    "Transactions need a replica set (one node is enough): start mongod with --replSet rs0, run "
    'rs.initiate() once in mongosh, and put "?replicaSet=rs0" into the URL.'
)

#: What a member of a set that was initiated calls itself, to the driver, while there is no primary.
MEMBERS = {"RSPrimary", "RSSecondary", "RSArbiter", "RSOther"}

#: What our user must be allowed to do; ``setup`` makes what is missing, if it may.
ACTIONS = ("find", "insert", "update")


class Deployment:
    """The database that a store was given, seen with doubt."""

    def __init__(
        self,
        database: Any,
        offsets: str,
        dead_letters: str,
        quarantine: str,
        applied: str,
    ) -> None:
        """Look at ``database`` and its four collections of ours; nothing is asked yet."""
        self._database = database
        self._admin = database.client.admin
        self._collections = (offsets, dead_letters, quarantine, applied)
        self._dead_letters = dead_letters
        self._quarantine = quarantine
        self._applied = applied

    @property
    def checks(self) -> Mapping[str, Callable[[], Awaitable[str]]]:
        """Each returns what is right, or raises ``ConfigurationError`` with what to do."""
        return {
            "replica set": self.replica_set,
            "version": self.version,
            "members": self.members,
            "privileges": self.privileges,
        }

    async def replica_set(self) -> str:
        """Find a primary within ``SERVER_SECONDS``, and a replica set behind it."""
        if is_mock(self._database.client):
            raise ConfigurationError(
                "mongomock has no transactions: a crash would lose or double messages, and so "
                "nothing was consumed. It serves unit tests of handlers, with "
                "eoconsumer.testing.feed.feed. To consume, connect to a real replica set: "
                "eoconsumer.servers.MongoReplicaSet starts one."
            )
        hello = await self._hello()
        if name := hello.get("setName"):
            return f"replica set {name}, primary {hello.get('primary')}"
        if hello.get("msg") == "isdbgrid":
            return "sharded cluster"
        raise ConfigurationError(
            f"The MongoDB server is a standalone, not a replica set; nothing was consumed. {HOW_TO}"
        )

    async def version(self) -> str:
        """Refuse servers whose transactions have known faults."""
        with self._reachable():
            info = await answer(self._admin.command("buildInfo"))
        if tuple(info["versionArray"][:3]) < OLDEST:
            raise ConfigurationError(
                f"MongoDB {info['version']} is too old; nothing was consumed. "
                f"Use {'.'.join(map(str, OLDEST))} or newer."
            )
        return f"MongoDB {info['version']}"

    async def members(self) -> str:
        """Refuse an arbiter beside two data nodes: no majority is left when one of them is down."""
        hello = await self._hello()
        data = [*hello.get("hosts", ()), *hello.get("passives", ())]
        if hello.get("arbiters") and len(data) <= 2:
            raise ConfigurationError(
                f"The replica set has an arbiter and only {len(data)} data nodes; nothing was "
                "consumed. When one of these is down, majority writes wait for ever and others "
                "can be rolled back. Replace the arbiter by a third data node."
            )
        return f"{len(data)} data nodes"

    async def privileges(self) -> str:
        """Refuse a user that may not do what the store does, naming what is missing."""
        with self._reachable():
            status = self._database.command("connectionStatus", showPrivileges=True)
            login = (await answer(status))["authInfo"]
        if not login["authenticatedUsers"]:
            return "no login"
        missing = [
            f"{action} on {self._database.name}.{name}"
            for name in self._collections
            for action in ACTIONS
            if not self._allowed(login["authenticatedUserPrivileges"], name, action)
        ]
        if missing:
            raise ConfigurationError(
                f"The database user lacks privileges; nothing was consumed. Missing: "
                f"{', '.join(missing)}. Grant them, or the role readWrite."
            )
        return f"user {login['authenticatedUsers'][0]['user']}"

    async def make_collections(self) -> None:
        """Make what is not there yet; others may do the same at the same time."""
        with self._reachable():
            # Made here, since a collection made within a transaction conflicts with others.
            there = await answer(self._database.list_collection_names(authorizedCollections=True))
            for name in {*self._collections} - {*there}:
                try:
                    await answer(self._database.create_collection(name, check_exists=False))
                except OperationFailure as error:
                    if error.code != NAMESPACE_EXISTS:
                        raise
            letters = self._database[self._dead_letters]
            if self._dead_letters not in there:
                await answer(letters.create_index([(field, 1) for field in PLACE], name="place"))
            if self._quarantine not in there:  # which letters of a key are left
                by_key = [(field, 1) for field in (*PLACE[:3], "key")]
                await answer(letters.create_index(by_key, name="key"))
            if self._applied not in there:
                by_offset = [(field, 1) for field in BY_OFFSET]
                applied = self._database[self._applied]
                await answer(applied.create_index(by_offset, name="offsets"))

    async def lifetime_seconds(self) -> float:
        """Return how long the server lets a transaction live; its default where it is secret."""
        try:
            asked = self._admin.command("getParameter", transactionLifetimeLimitSeconds=1)
            reply = await answer(asked)
            return float(reply["transactionLifetimeLimitSeconds"])
        except OperationFailure:
            return DEFAULT_LIFETIME_SECONDS

    # ----------------------------------------------------------------------------------------

    async def _hello(self) -> Document:
        with self._reachable(), pymongo.timeout(SERVER_SECONDS):
            hello: Document = await answer(self._admin.command("hello"))
        return hello

    def _allowed(self, privileges: list[Document], collection: str, action: str) -> bool:
        def covers(resource: Document) -> bool:
            return resource.get("anyResource", False) or (
                resource.get("db") in ("", self._database.name)
                and resource.get("collection") in ("", collection)
            )

        return any(action in p["actions"] and covers(p["resource"]) for p in privileges)

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        """Raise ``ConfigurationError`` for what a wrong URL or a wrong user looks like.

        And ``TransientStoreError`` where the set is there, and only has no primary at present.
        """
        try:
            yield
        except ServerSelectionTimeoutError as error:
            raise self._nobody(error) from error
        except OperationFailure as error:
            what = "lacks a privilege" if error.code == UNAUTHORIZED else "was refused"
            raise ConfigurationError(
                f"The database user {what}; nothing was consumed. MongoDB said: {summary(error)}. "
                "Check user, password and authSource of the URL, and the user's role."
            ) from error
        except ConnectionFailure as error:
            raise TransientStoreError(
                f"MongoDB broke the connection off; nothing was consumed. {summary(error)}"
            ) from error
        except PyMongoError as error:
            raise ConfigurationError(
                f"MongoDB cannot be used; nothing was consumed. {summary(error)}"
            ) from error

    def _nobody(self, error: ServerSelectionTimeoutError) -> EOConsumerError:
        servers = self._database.client.topology_description.server_descriptions().values()
        if not servers:
            # The driver drops servers that answer and are no members of the set.
            return ConfigurationError(
                "The MongoDB server is not a member of the replica set that the URL names: it is a "
                f"standalone or belongs to another set. Nothing was consumed. {HOW_TO}"
            )
        places = ", ".join(f"{host}:{port}" for host, port in (s.address for s in servers))
        kinds = {server.server_type_name for server in servers}
        if kinds != {"Unknown"}:
            said = (
                f"The replica set at {places} has no primary; nothing was consumed. Look at "
                "rs.status() in mongosh"
            )
            if kinds & MEMBERS:
                return TransientStoreError(f"{said}: is a majority up?")
            return ConfigurationError(f"{said}: has it been initiated?")
        return ConfigurationError(
            f"No MongoDB server answered at {places} within {SERVER_SECONDS:g} s; nothing was "
            "consumed. Check the URL, TLS in it, the network, and that mongod runs. "
            f"{summary(error)}"
        )
