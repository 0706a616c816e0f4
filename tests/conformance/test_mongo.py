"""The MongoDB store keeps the contract, on a real replica set."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from pymongo import InsertOne
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from eoconsumer.servers import MongoReplicaSet
from eoconsumer.stores.mongo import MongoStore
from eoconsumer.testing.conformance import StoreConformance


@pytest.fixture(scope="module")
def made(mongo_replica_set: MongoReplicaSet) -> Iterator[MongoStore]:
    database = f"conformance_{uuid.uuid4().hex[:8]}"
    store = MongoStore.connect(mongo_replica_set.url_for(database))
    store.setup()
    store.database.create_collection("ledger")
    yield store
    store.client.drop_database(database)
    store.close()


class TestMongoStore(StoreConformance):
    @pytest.fixture
    def store(self, made: MongoStore) -> MongoStore:
        # Collections take half a second to make; documents are gone in a moment.
        for name in made.database.list_collection_names():
            made.database[name].delete_many({})
        return made

    def write(self, store: MongoStore, session: ClientSession, text: str) -> None:
        store.database["ledger"].insert_one({"text": text}, session=session)

    def writes(self, store: MongoStore, texts: Sequence[str]) -> Sequence[Any]:
        namespace = f"{store.database.name}.ledger"
        return [InsertOne({"text": text}, namespace=namespace) for text in texts]

    def bad_write(self, store: MongoStore) -> Any:
        return InsertOne({"_id": [1]}, namespace=f"{store.database.name}.ledger")

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
        point = {"configureFailPoint": "failCommand"}
        # The commit takes place, and the server says that it does not know of the majority.
        unknown = {"code": 64, "errmsg": "waiting for replication timed out"}
        data = {"failCommands": ["commitTransaction"], "writeConcernError": unknown}
        admin = store.client.admin
        with store.client.start_session() as outside:
            admin.command({**point, "mode": "alwaysOn", "data": data}, session=outside)
            try:
                yield
            finally:
                admin.command({**point, "mode": "off"}, session=outside)

    def swallow_an_error(self, store: MongoStore, session: ClientSession) -> None:
        for _ in range(2):
            with suppress(DuplicateKeyError):
                store.database["ledger"].insert_one({"_id": 1, "text": "twice"}, session=session)

    def end_the_transaction(self, store: MongoStore, session: ClientSession) -> None:  # noqa: ARG002
        session.commit_transaction()
