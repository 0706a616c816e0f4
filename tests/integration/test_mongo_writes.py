"""Writes as values on a real replica set: what is sent, in which order, and how it is split."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext, suppress
from typing import Any

import pytest
from bson import ObjectId
from mongo_stores import Commands, fresh_store, ledger
from pymongo import DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne
from pymongo.errors import DuplicateKeyError

from eoconsumer.errors import HandlerMisuse, TransientStoreError, WriteFailed
from eoconsumer.servers import MongoReplicaSet
from eoconsumer.stores.mongo import MongoStore
from eoconsumer.stores.mongo.operations import merged, parts, planned
from eoconsumer.stores.mongo.session import MongoSession


@pytest.fixture
def commands() -> Commands:
    return Commands()


@pytest.fixture
def store(mongo_replica_set: MongoReplicaSet, commands: Commands) -> Iterator[MongoStore]:
    with fresh_store(mongo_replica_set, listener=commands) as store:
        store.database.create_collection("stock")
        yield store


def insert(store: MongoStore, n: int, **fields: Any) -> InsertOne[dict[str, Any]]:
    return InsertOne({"_id": n, **fields}, namespace=f"{store.database.name}.ledger")


def add(store: MongoStore, key: Any, **steps: Any) -> UpdateOne:
    return UpdateOne({"_id": key}, {"$inc": steps}, True, namespace=f"{store.database.name}.stock")


def send(store: MongoStore, *writes: Any) -> None:
    session = store.open("ledger", "first")
    with session.transaction() as transaction:
        transaction.write(writes)


def test_inserts_and_increments_of_a_batch_are_one_command_a_collection(
    store: MongoStore, commands: Commands
) -> None:
    writes = [w for n in range(50) for w in (insert(store, n), add(store, n % 3, sold=1))]
    commands.sent.clear()
    send(store, *writes)
    assert commands.names == ["insert", "update", "commitTransaction"]
    assert len(commands["update"][0]["updates"]) == 3
    assert ledger(store) == list(range(50))
    stock = {row["_id"]: row["sold"] for row in store.database["stock"].find({})}
    assert stock == {0: 17, 1: 17, 2: 16}


def test_the_order_of_a_collection_is_kept(store: MongoStore) -> None:
    name = f"{store.database.name}.ledger"
    send(
        store,
        insert(store, 1, state="new"),
        UpdateOne({"_id": 1}, {"$set": {"state": "paid"}}, namespace=name),
        insert(store, 2, state="new"),
        UpdateMany({}, {"$inc": {"seen": 1}}, namespace=name),
        DeleteOne({"_id": 1}, namespace=name),
        insert(store, 1, state="again"),
        ReplaceOne({"_id": 2}, {"state": "sent"}, namespace=name),
    )
    rows = list(store.database["ledger"].find({}).sort("_id", 1))
    assert rows == [{"_id": 1, "state": "again"}, {"_id": 2, "state": "sent"}]


def test_a_namespace_may_name_another_database_or_none(store: MongoStore) -> None:
    other = f"{store.database.name}_archive"
    try:
        own = InsertOne({"_id": 1}, namespace="ledger")
        send(store, InsertOne({"_id": 1}, namespace=f"{other}.old.ledger"), own)
        assert ledger(store) == [1]
        assert store.client[other]["old.ledger"].count_documents({}) == 1
    finally:
        store.client.drop_database(other)


@pytest.mark.parametrize("namespace", [None, "", ".ledger", "shop."])
def test_a_write_without_a_namespace_is_refused(store: MongoStore, namespace: str | None) -> None:
    with pytest.raises(HandlerMisuse, match="namespace"):
        send(store, InsertOne({"_id": 1}, namespace=namespace))


@pytest.mark.parametrize("name", ["ac$me", "b..d", "e\0f"])
def test_a_write_into_a_collection_that_cannot_be_is_named(store: MongoStore, name: str) -> None:
    bad = InsertOne({"_id": 2}, namespace=f"{store.database.name}.{name}")
    with pytest.raises(WriteFailed) as caught:
        send(store, insert(store, 0), insert(store, 1), bad)
    assert caught.value.index == 2


@pytest.mark.slow
def test_documents_that_are_too_large_for_one_command_are_split(
    store: MongoStore, commands: Commands
) -> None:
    writes = [insert(store, n, text="x" * 1_000_000) for n in range(40)]
    assert inserted(store, store.open("ledger", "first"), writes) == 40
    assert len(commands["insert"]) >= 3


@pytest.mark.slow
def test_large_documents_that_the_samples_missed_are_measured_when_it_is_done_again(
    store: MongoStore,
) -> None:
    writes = [insert(store, n, text="x" * (6_000_000 if n in (3, 4, 5) else 1)) for n in range(90)]
    session = store.open("ledger", "first")
    first = session.transaction()
    with pytest.raises(TransientStoreError, match="too large together"):
        first.write(writes)
    first.abort()
    assert inserted(store, session, writes) == 90


def test_outside_of_a_transaction_documents_are_not_given_keys(store: MongoStore) -> None:
    document = {"text": "sold"}
    session = store.open("ledger", "first")
    for _ in range(2):  # with a key of its own, the second would be a duplicate
        session.write([InsertOne(document, namespace=f"{store.database.name}.ledger")])
    assert document == {"text": "sold"}
    assert len(ledger(store)) == 2


@pytest.mark.parametrize("inside", [True, False])
def test_whether_all_before_a_refused_write_were_done_is_told(
    store: MongoStore, inside: bool
) -> None:
    session = store.open("ledger", "first")
    transaction = session.transaction() if inside else None
    scope = transaction or session
    for writes, done in (
        ([insert(store, 1), insert(store, 1)], True),
        ([add(store, 1, sold=1), insert(store, 5), insert(store, 5)], False),
    ):
        with pytest.raises(WriteFailed) as failed:
            scope.write(writes)
        assert failed.value.index == len(writes) - 1
        assert failed.value.before_are_done is (done and not inside)
        if transaction:
            transaction.abort()
            scope = transaction = session.transaction()
    if transaction:
        transaction.abort()


def inserted(store: MongoStore, session: MongoSession, writes: list[Any]) -> int:
    """Send writes, count what is there, and roll back: the caches of these servers are small."""
    transaction = session.transaction()
    transaction.write(writes)
    count = len(list(store.database["ledger"].find({}, {"_id": 1}, session=transaction.session)))
    transaction.abort()
    return count


# --- increments that are added up ---------------------------------------------------------------


def inc(key: Any, *, upsert: bool | None = None, **steps: Any) -> UpdateOne:
    return UpdateOne({"_id": key}, {"$inc": steps}, upsert, namespace="shop.stock")


def after(*operations: Any) -> list[Any]:
    (part,) = parts(operations, range(len(operations)))
    after = merged(part)
    assert len(after.indexes) == len(after.operations)
    return after.operations


KEY = ObjectId()


@pytest.mark.parametrize("key", [1, "a", b"a", KEY, {"shop": "a", "item": 1}], ids=type)
def test_increments_of_one_document_are_added_up(key: Any) -> None:
    assert after(inc(key, n=1), inc("other", n=5), inc(key, n=2)) == [
        inc(key, n=3),
        inc("other", n=5),
    ]


@pytest.mark.parametrize(
    "operations",
    [
        pytest.param([inc(1, n=1), inc("1", n=1), inc(True, n=1), inc(1.0, n=1)], id="types"),
        pytest.param([inc(1, n=1), inc(1, m=1)], id="other fields"),
        pytest.param([inc(1, n=1), inc(1, n=1, upsert=True)], id="upsert"),
        pytest.param([inc(1, n=0.1), inc(1, n=0.2)], id="fractions"),
        pytest.param([inc(1, n=2**62), inc(1, n=2**62)], id="too large"),
        pytest.param([inc({"$gt": 0}, n=1), inc({"$gt": 0}, n=1)], id="no key"),
        pytest.param(
            [inc(1, n=1), UpdateOne({"_id": 1}, {"$set": {"n": 0}}), inc(1, n=1)], id="between"
        ),
        pytest.param([inc(1, n=1), DeleteOne({"_id": 1}), inc(1, n=1)], id="deleted"),
        pytest.param([inc(1, n=1), UpdateMany({}, {"$mul": {"n": 2}}), inc(1, n=1)], id="all"),
        pytest.param([UpdateOne({"_id": 1, "n": 0}, {"$inc": {"n": 1}})] * 2, id="condition"),
        pytest.param([UpdateOne({"_id": 1}, [{"$set": {"n": 1}}])] * 2, id="pipeline"),
        pytest.param(
            [UpdateOne({"_id": 1}, {"$inc": {"n": 1}, "$set": {"m": 1}})] * 2, id="and more"
        ),
        pytest.param([UpdateOne({"_id": 1}, {"$inc": {"n": 1}}, hint="_id_")] * 2, id="hint"),
    ],
)
def test_what_could_tell_the_difference_is_not_added_up(operations: list[Any]) -> None:
    assert after(*operations) == operations


def test_a_later_increment_joins_the_latest_of_its_document() -> None:
    operations = [inc(1, n=1), inc(1, m=1), inc(1, m=1)]
    assert after(*operations) == [inc(1, n=1), inc(1, m=2)]


def test_what_stands_for_several_writes_has_no_index() -> None:
    ((part,),) = planned([inc(1, n=1), inc(2, n=1), inc(1, n=1)], "shop", inside=True).values()
    assert part.indexes == [None, 1]


def test_outside_of_a_transaction_nothing_is_added_up() -> None:
    operations = [inc(1, n=1), inc(1, n=1)]
    ((part,),) = planned(operations, "shop", inside=False).values()
    assert part.operations == operations


@pytest.mark.requirement("S3-22")
def test_an_error_that_another_handler_swallowed_is_told_before_anything_is_sent(
    store: MongoStore,
) -> None:
    session = store.open("ledger", "first")
    transaction = session.transaction()
    store.database["ledger"].insert_one({"_id": 1}, session=transaction.session)
    with suppress(DuplicateKeyError):
        store.database["ledger"].insert_one({"_id": 1}, session=transaction.session)
    with pytest.raises(HandlerMisuse, match="went on as if nothing had happened"):
        transaction.write([insert(store, 2)])
    transaction.abort()


def test_a_document_that_cannot_be_encoded_is_told_when_all_are_measured(
    store: MongoStore,
) -> None:
    session = store.open("ledger", "first")
    large = [insert(store, n, text="x" * (6_000_000 if n in (3, 4, 5) else 1)) for n in range(90)]
    for writes, expected in (
        (large, TransientStoreError),
        ([insert(store, 1), insert(store, 2, x=2**63)], WriteFailed),
    ):
        transaction = session.transaction()
        with pytest.raises(expected) as failed:
            transaction.write(writes)
        transaction.abort()
    assert failed.value.index == 1


def test_outside_of_a_transaction_a_document_that_cannot_be_encoded_is_named(
    store: MongoStore,
) -> None:
    session = store.open("ledger", "first")
    with pytest.raises(WriteFailed) as failed:
        session.write([insert(store, 1), insert(store, 2, x=2**63)])
    assert (failed.value.index, failed.value.before_are_done) == (1, False)


@pytest.mark.parametrize("inside", [True, False])
def test_a_document_that_holds_itself_is_told_like_one_that_cannot_be_encoded(
    store: MongoStore, *, inside: bool
) -> None:
    session = store.open("ledger", "first")
    endless: dict[str, Any] = {"_id": 2}
    endless["itself"] = endless

    with (
        pytest.raises(WriteFailed) as failed,
        session.transaction() if inside else nullcontext(session) as scope,
    ):
        scope.write([insert(store, 1), InsertOne(endless, namespace="ledger")])

    assert failed.value.index == 1
    assert isinstance(failed.value.__cause__, RecursionError)


def test_the_operations_that_were_handed_in_stay_as_they_were() -> None:
    first, second = inc(1, n=1), inc(1, n=1)
    after(first, second)
    assert first == second == inc(1, n=1)


@pytest.mark.parametrize(
    ("operation", "names"),
    [
        (InsertOne({}), ("_doc", "_namespace")),
        (
            UpdateOne({}, {}),
            ("_filter", "_doc", "_upsert", "_collation", "_array_filters", "_hint", "_sort"),
        ),
        *((kind({}), ("_namespace",)) for kind in (DeleteOne,)),
        (ReplaceOne({}, {}), ("_namespace",)),
        (UpdateMany({}, {}), ("_namespace",)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_private_names_of_pymongo_are_as_they_were(operation: Any, names: Any) -> None:
    for name in names:
        getattr(operation, name)
