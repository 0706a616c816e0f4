"""What mongomock can serve: unit tests of handlers, with an imitation of transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import mongomock
import pytest
from pymongo import DeleteMany, DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne
from pymongo.errors import DuplicateKeyError

from eoconsumer import Consumer, Message, Mode
from eoconsumer.errors import ConfigurationError, HandlerFailed, HandlerMisuse
from eoconsumer.stores.mongo import MongoStore
from eoconsumer.testing.feed import feed

Handler = Callable[[Any, Any], object]


@pytest.fixture
def store() -> MongoStore:
    return MongoStore(mongomock.MongoClient(), "shop")


@pytest.fixture(autouse=True)
def _unpatched() -> Iterator[None]:
    before = mongomock.Collection.insert_one
    yield
    assert mongomock.Collection.insert_one is before, "mongomock was left changed"


def consumer(store: MongoStore, handler: Handler, **settings: Any) -> Consumer:
    made = Consumer("unused:9092", store, group="ledger", **settings)
    made.on("moves", decode=lambda message: int(message.value))(handler)
    return made


def inserting(store: MongoStore) -> Handler:
    """Return a handler that writes, and then refuses 0."""

    def handle(message: Message[int], session: Any) -> None:
        store.database["ledger"].insert_one({"_id": message.offset}, session=session)
        added = {"$inc": {"quantity": message.value}}
        store.database["stock"].update_one({"_id": "tea"}, added, upsert=True, session=session)
        _ = 1 // message.value

    return handle


def ledger(store: MongoStore) -> list[int]:
    return [document["_id"] for document in store.database["ledger"].find()]


def test_writes_of_a_handler_are_there_afterwards(store: MongoStore) -> None:
    fed = feed(consumer(store, inserting(store)), [b"3", b"4"])

    assert len(fed.applied) == 2
    assert ledger(store) == [0, 1]
    assert store.database["stock"].find_one() == {"_id": "tea", "quantity": 7}


def test_a_second_feed_goes_on_behind_the_first(store: MongoStore) -> None:
    feed(consumer(store, inserting(store)), [b"3"])
    feed(consumer(store, inserting(store)), [b"4"])

    assert ledger(store) == [0, 1]


@pytest.mark.requirement("S3-06")
def test_what_a_handler_wrote_before_it_failed_is_rolled_back(store: MongoStore) -> None:
    store.database["stock"].insert_one({"_id": "tea", "quantity": 100})

    with pytest.raises(HandlerFailed):
        feed(consumer(store, inserting(store)), [b"3", b"0", b"4"])

    assert ledger(store) == [0]
    assert store.database["stock"].find_one() == {"_id": "tea", "quantity": 103}


def test_a_collection_that_is_new_in_a_transaction_goes_with_it(store: MongoStore) -> None:
    with pytest.raises(HandlerFailed):
        feed(consumer(store, inserting(store)), [b"0"])

    assert store.database.list_collection_names() == []


def test_other_databases_of_the_client_are_rolled_back_and_indexes_stay(store: MongoStore) -> None:
    audit = store.client["audit"]["moves"]
    audit.create_index("offset", unique=True)
    audit.insert_one({"offset": -1})

    def handle(message: Message[int], session: Any) -> None:
        audit.insert_one({"offset": message.offset}, session=session)
        raise ValueError

    with pytest.raises(HandlerFailed):
        feed(consumer(store, handle), [b"1"])

    assert [document["offset"] for document in audit.find()] == [-1]
    with pytest.raises(DuplicateKeyError):
        audit.insert_one({"offset": -1})


def test_a_write_that_forgot_its_session_is_rolled_back_too(store: MongoStore) -> None:
    def handle(message: Message[int], _: Any) -> None:
        store.database["ledger"].insert_one({"_id": message.offset})
        raise ValueError

    with pytest.raises(HandlerFailed):
        feed(consumer(store, handle), [b"1"])

    assert ledger(store) == []


def test_a_poisoned_message_is_buried_and_the_others_are_applied(store: MongoStore) -> None:
    fed = feed(consumer(store, inserting(store), on_poison="bury"), [b"3", b"0", b"4"])

    assert ledger(store) == [0, 2]
    assert [failed.message.offset for failed in fed.buried] == [1]


@pytest.mark.requirement("S3-22")
def test_an_error_that_the_handler_swallows_is_a_misuse(store: MongoStore) -> None:
    store.database["ledger"].insert_one({"_id": 7})

    def handle(message: Message[int], session: Any) -> None:
        store.database["stock"].insert_one({"_id": message.offset}, session=session)
        with suppress(DuplicateKeyError):
            store.database["ledger"].insert_one({"_id": 7}, session=session)

    with pytest.raises(HandlerMisuse, match=r"insert_one\(\) raised DuplicateKeyError"):
        feed(consumer(store, handle), [b"1"])

    assert store.database["stock"].find_one() is None


def test_a_document_that_cannot_be_encoded_is_not_swallowed_either(store: MongoStore) -> None:
    def handle(_: Message[int], session: Any) -> None:
        with suppress(OverflowError):
            store.database["ledger"].insert_one({"_id": 2**63}, session=session)

    with pytest.raises(HandlerMisuse, match="OverflowError"):
        feed(consumer(store, handle), [b"1"])


@pytest.mark.requirement("S3-22")
@pytest.mark.parametrize(
    "call", ["commit_transaction", "abort_transaction", "end_session", "start_transaction"]
)
def test_a_handler_may_not_end_the_transaction(store: MongoStore, call: str) -> None:
    def handle(message: Message[int], session: Any) -> None:
        store.database["ledger"].insert_one({"_id": message.offset}, session=session)
        getattr(session, call)()

    with pytest.raises(HandlerMisuse, match=call):
        feed(consumer(store, handle), [b"1"])

    assert ledger(store) == []


def test_the_culprit_of_a_bulk_write_is_known(store: MongoStore) -> None:
    made = Consumer("unused:9092", store, group="ledger", on_poison="bury")

    @made.on("moves", form="batch")
    def keep(messages: list[Message[bytes]], session: Any) -> None:
        rows = [{"_id": message.value} for message in messages]
        store.database["ledger"].insert_many(rows, session=session)

    fed = feed(made, [b"a", b"b", b"a", b"c"])

    assert [failed.message.offset for failed in fed.buried] == [2]
    assert len(ledger(store)) == 3
    # One for the first try and for what stands before it, and one for what stands behind.
    assert fed.batches <= 3


class Returning(Consumer):
    """Returns its writes; 7 is there already."""

    topics = "moves"
    group = "ledger"

    def writes(self, message: Message[bytes]) -> Iterator[Any]:
        number = int(message.raw_value or 0)
        yield InsertOne({"_id": number}, namespace="shop.ledger")
        yield UpdateOne({"_id": "tea"}, {"$inc": {"n": 1}}, upsert=True, namespace="shop.stock")
        yield ReplaceOne({"_id": "last"}, {"n": number}, upsert=True, namespace="shop.stock")
        yield UpdateMany({"n": 7}, {"$set": {"never": 1}}, namespace="shop.stock")
        yield DeleteOne({"_id": -number}, namespace="shop.ledger")
        yield DeleteMany({"_id": -number}, namespace="shop.ledger")


def test_writes_that_a_handler_returns_are_done(store: MongoStore) -> None:
    store.database["ledger"].insert_many([{"_id": -1}, {"_id": -2}, {"_id": -3}])

    feed(Returning("unused:9092", store), [b"1", b"2"])

    assert ledger(store) == [-3, 1, 2]
    assert list(store.database["stock"].find()) == [{"_id": "tea", "n": 2}, {"_id": "last", "n": 2}]


def test_a_returned_write_that_fails_buries_its_message_and_no_other(store: MongoStore) -> None:
    store.database["ledger"].insert_one({"_id": 7})

    fed = feed(Returning("unused:9092", store, on_poison="bury"), [b"1", b"7", b"2"])

    assert [failed.message.offset for failed in fed.buried] == [1]
    assert ledger(store) == [7, 1, 2]
    assert store.database["stock"].find_one({"_id": "tea"}) == {"_id": "tea", "n": 2}


def test_without_transactions_nothing_is_rolled_back(store: MongoStore) -> None:
    handler = inserting(store)

    with pytest.raises(HandlerFailed):
        feed(consumer(store, handler, mode=Mode.AT_MOST_ONCE), [b"0"])

    assert ledger(store) == [0]


def test_outside_of_a_transaction_there_is_none_to_be_had(store: MongoStore) -> None:
    def handle(_: Message[int], session: Any) -> None:
        session.start_transaction()

    with pytest.raises(HandlerFailed) as failed:
        feed(consumer(store, handle, mode=Mode.AT_MOST_ONCE), [b"1"])

    assert isinstance(failed.value.__cause__, NotImplementedError)


@pytest.mark.parametrize("work", ["setup", "redrive"])
def test_mongomock_is_refused_for_real_use(store: MongoStore, work: str) -> None:
    real = consumer(store, inserting(store))

    with pytest.raises(ConfigurationError, match="mongomock has no transactions"):
        (real.store.setup if work == "setup" else real.redrive)()
