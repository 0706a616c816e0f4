"""The MongoDB stores keep the contract, on a real replica set: with each of the drivers."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient, InsertOne, MongoClient
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from eoconsumer.servers import MongoReplicaSet
from eoconsumer.stores.mongo import AsyncMongoStore, MongoStore
from eoconsumer.stores.twins import answer
from eoconsumer.testing.conformance import AsyncStoreConformance, StoreConformance
from eoconsumer.testing.conformance.on_a_loop import Blocking, Loop
from tests.conformance.whole import NothingIsSkipped


@pytest.fixture(scope="module")
def made(mongo_replica_set: MongoReplicaSet) -> Iterator[MongoStore]:
    database = f"conformance_{uuid.uuid4().hex[:8]}"
    store = MongoStore.connect(mongo_replica_set.url_for(database))
    store.setup()
    store.database.create_collection("ledger")
    yield store
    store.client.drop_database(database)
    store.close()


@pytest.fixture
def emptied(made: MongoStore) -> MongoStore:
    # Collections take half a second to make; documents are gone in a moment.
    for name in made.database.list_collection_names():
        made.database[name].delete_many({})
    return made


@contextmanager
def answers_lost(client: MongoClient[dict[str, Any]]) -> Iterator[None]:
    point = {"configureFailPoint": "failCommand"}
    # The commit takes place, and the server says that it does not know of the majority.
    unknown = {"code": 64, "errmsg": "waiting for replication timed out"}
    data = {"failCommands": ["commitTransaction"], "writeConcernError": unknown}
    with client.start_session() as outside:
        client.admin.command({**point, "mode": "alwaysOn", "data": data}, session=outside)
        try:
            yield
        finally:
            client.admin.command({**point, "mode": "off"}, session=outside)


class Writes:
    """What handlers return for these stores."""

    def writes(self, store: MongoStore, texts: Sequence[str]) -> Sequence[Any]:
        namespace = f"{store.database.name}.ledger"
        return [InsertOne({"text": text}, namespace=namespace) for text in texts]

    def bad_write(self, store: MongoStore) -> Any:
        return InsertOne({"_id": [1]}, namespace=f"{store.database.name}.ledger")


class TestMongoStore(NothingIsSkipped, Writes, StoreConformance):
    @pytest.fixture
    def store(self, emptied: MongoStore) -> MongoStore:
        return emptied

    def write(self, store: MongoStore, session: ClientSession, text: str) -> None:
        store.database["ledger"].insert_one({"text": text}, session=session)

    def read(self, store: MongoStore) -> Sequence[str]:
        with store.client.start_session() as outside:
            found = store.database["ledger"].find({}, session=outside)
            return [str(document["text"]) for document in found]

    def letters(self, store: MongoStore) -> Sequence[int]:
        with store.client.start_session() as outside:
            found = store.database["eoconsumer_dead_letters"].find({}, session=outside)
            return [int(document["offset"]) for document in found]

    @contextmanager
    def commit_answers_lost(self, store: MongoStore) -> Iterator[None]:
        with answers_lost(store.client):
            yield

    def swallow_an_error(self, store: MongoStore, session: ClientSession) -> None:
        for _ in range(2):
            with suppress(DuplicateKeyError):
                store.database["ledger"].insert_one({"_id": 1, "text": "twice"}, session=session)

    def end_the_transaction(self, store: MongoStore, session: ClientSession) -> None:  # noqa: ARG002
        session.commit_transaction()


class AsyncMongoConformance(NothingIsSkipped, Writes, AsyncStoreConformance):
    def connected(self, url: str) -> Any:
        raise NotImplementedError

    @pytest.fixture
    def async_store(
        self, mongo_replica_set: MongoReplicaSet, emptied: MongoStore, loop: Loop
    ) -> Iterator[AsyncMongoStore]:
        self.beside = emptied

        async def client() -> Any:
            return self.connected(mongo_replica_set.url)

        store = AsyncMongoStore(loop.run(client()), emptied.database.name)
        loop.run(store.setup())
        yield store
        loop.run(answer(store.client.close()))

    async def write_async(self, store: AsyncMongoStore, session: Any, text: str) -> None:
        await store.database["ledger"].insert_one({"text": text}, session=session)

    async def read_async(self, store: AsyncMongoStore) -> Sequence[str]:
        return [str(found["text"]) for found in await self._all(store, "ledger")]

    async def letters_async(self, store: AsyncMongoStore) -> Sequence[int]:
        return [int(found["offset"]) for found in await self._all(store, "eoconsumer_dead_letters")]

    async def _all(self, store: AsyncMongoStore, collection: str) -> list[dict[str, Any]]:
        async with await answer(store.client.start_session()) as outside:
            return [found async for found in store.database[collection].find({}, session=outside)]

    @contextmanager
    def commit_answers_lost(self, store: Blocking) -> Iterator[None]:  # noqa: ARG002
        with answers_lost(self.beside.client):
            yield

    async def swallow_an_error_async(self, store: AsyncMongoStore, session: Any) -> None:
        for _ in range(2):
            with suppress(DuplicateKeyError):
                await store.database["ledger"].insert_one(
                    {"_id": 1, "text": "twice"}, session=session
                )

    async def end_the_transaction_async(self, store: AsyncMongoStore, session: Any) -> None:  # noqa: ARG002
        await session.commit_transaction()


class TestAsyncMongoStore(AsyncMongoConformance):
    def connected(self, url: str) -> Any:
        return AsyncMongoClient[dict[str, Any]](url)


class TestAsyncMongoStoreWithMotor(AsyncMongoConformance):
    def connected(self, url: str) -> Any:
        return AsyncIOMotorClient[dict[str, Any]](url)
