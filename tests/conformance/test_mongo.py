"""The MongoDB store keeps the contract, on a real replica set."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from pymongo import InsertOne
from pymongo.client_session import ClientSession

from eoconsumer.servers import MongoReplicaSet
from eoconsumer.stores.mongo import MongoStore
from eoconsumer.testing.conformance import StoreConformance


class TestMongoStore(StoreConformance):
    @pytest.fixture
    def store(self, mongo_replica_set: MongoReplicaSet) -> Iterator[MongoStore]:
        database = f"conformance_{uuid.uuid4().hex[:8]}"
        store = MongoStore.connect(mongo_replica_set.url_for(database))
        store.setup()
        store.database.create_collection("ledger")
        yield store
        store.client.drop_database(database)
        store.close()

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
