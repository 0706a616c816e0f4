"""What a handler may do in a transaction of MongoDB, and what dooms it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import Context, copy_context
from decimal import Decimal
from typing import Any

import pytest
from mongo_stores import HELD, ORDERS, failing, fresh_store, held, ledger, owner, step
from pymongo import InsertOne, UpdateOne, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from eoconsumer.errors import HandlerMisuse, TransientStoreError
from eoconsumer.servers import MongoReplicaSet
from eoconsumer.stores.mongo import MongoStore
from eoconsumer.stores.mongo.guard import Guard, open_session
from eoconsumer.stores.twins import finished

Ledger = Collection[dict[str, Any]]


@pytest.fixture
def store(mongo_replica_set: MongoReplicaSet) -> Iterator[MongoStore]:
    with fresh_store(mongo_replica_set) as store:
        yield store


FORGETFUL: dict[str, Callable[[Ledger], object]] = {
    "insert_one": lambda c: c.insert_one({"_id": 1}),
    "insert_many": lambda c: c.insert_many([{"_id": 1}]),
    "update_one": lambda c: c.update_one({"_id": 1}, {"$set": {"a": 1}}, upsert=True),
    "replace_one": lambda c: c.replace_one({"_id": 1}, {"a": 1}, upsert=True),
    "find_one_and_update": lambda c: c.find_one_and_update(
        {"_id": 1}, {"$set": {"a": 1}}, upsert=True
    ),
    "bulk_write": lambda c: c.bulk_write(
        [InsertOne({"_id": 1}), UpdateOne({"_id": 1}, {"$set": {"a": 1}})]
    ),
    "command": lambda c: c.database.command("insert", c.name, documents=[{"_id": 1}]),
}


@pytest.mark.requirement("S3-22")
@pytest.mark.parametrize("operation", FORGETFUL)
def test_a_write_that_forgot_the_session_is_inside_the_transaction(
    store: MongoStore, operation: str
) -> None:
    session, rows = owner(store)

    rolled_back = session.transaction()
    FORGETFUL[operation](store.database["ledger"])
    rolled_back.abort()
    assert ledger(store) == []

    with session.transaction() as transaction:
        FORGETFUL[operation](store.database["ledger"])
        transaction.advance([step(rows)])
        assert ledger(store) == []
    assert ledger(store) == [1]


def test_a_read_that_forgot_the_session_sees_the_writes_of_the_transaction(
    store: MongoStore,
) -> None:
    session, _ = owner(store)
    transaction = session.transaction()
    store.database["ledger"].insert_many([{"_id": i} for i in range(300)])

    assert len(list(store.database["ledger"].find({}, batch_size=100))) == 300
    assert store.database["ledger"].count_documents({}) == 300
    assert len(list(store.database["ledger"].aggregate([{"$match": {}}]))) == 300

    transaction.abort()


@pytest.mark.requirement("S3-22")
def test_a_forgotten_session_beside_a_write_concern_of_ones_own_is_misuse(
    store: MongoStore,
) -> None:
    session, _ = owner(store)
    own = store.database.get_collection("ledger", write_concern=WriteConcern("majority"))
    transaction = session.transaction()

    with pytest.raises(Exception, match="writeConcern is not allowed") as refused:
        own.insert_one({})

    assert isinstance(session.translate(refused.value), HandlerMisuse)
    transaction.abort()


@pytest.mark.requirement("S3-22")
def test_a_duplicate_key_that_the_handler_swallowed_is_misuse_at_once(store: MongoStore) -> None:
    store.database["ledger"].insert_one({"_id": 1})
    session, rows = owner(store)
    transaction = session.transaction()
    store.database["ledger"].insert_one({"_id": 2})
    with suppress(DuplicateKeyError):
        store.database["ledger"].insert_one({"_id": 1}, session=transaction.session)

    with pytest.raises(HandlerMisuse, match=r"'insert ledger' .* 11000"):
        transaction.advance([step(rows)])

    transaction.abort()
    assert ledger(store) == [1]


@pytest.mark.requirement("S3-22")
def test_a_swallowed_duplicate_key_wins_over_the_transient_error_that_follows_from_it(
    store: MongoStore,
) -> None:
    store.database["ledger"].insert_one({"_id": 1})
    session, _ = owner(store)
    transaction = session.transaction()
    with suppress(DuplicateKeyError):
        store.database["ledger"].insert_one({"_id": 1})

    with pytest.raises(Exception, match="NoSuchTransaction") as later:
        store.database["ledger"].insert_one({"_id": 2})

    assert isinstance(session.translate(later.value), HandlerMisuse)
    transaction.abort()


def test_a_duplicate_key_that_leaves_the_handler_is_the_handlers_error(store: MongoStore) -> None:
    store.database["ledger"].insert_one({"_id": 1})
    session, _ = owner(store)
    transaction = session.transaction()

    with pytest.raises(DuplicateKeyError) as duplicate:
        store.database["ledger"].insert_one({"_id": 1})

    assert session.translate(duplicate.value) is duplicate.value
    transaction.abort()


UNSENDABLE: dict[str, Any] = {
    "an integer of more than 64 bits": 2**63,
    "a Decimal": Decimal("1.5"),
    "a lone surrogate": "\udc80",
    "a set": {1, 2},
    "17 MB": "x" * (17 * 1024 * 1024),
}


@pytest.mark.requirement("S3-22")
@pytest.mark.parametrize("many", [False, True], ids=["insert_one", "insert_many"])
@pytest.mark.parametrize("position", ["first", "last"])
@pytest.mark.parametrize("what", UNSENDABLE)
def test_a_document_that_could_not_be_sent_dooms_the_transaction(
    store: MongoStore, what: str, position: str, many: bool
) -> None:
    session, rows = owner(store)
    transaction = session.transaction()

    def write(document: dict[str, Any]) -> None:
        collection = store.database["ledger"]
        with suppress(Exception):
            collection.insert_many([document]) if many else collection.insert_one(document)

    good, bad = {"_id": 1}, {"_id": 2, "value": UNSENDABLE[what]}
    for document in (bad, good) if position == "first" else (good, bad):
        write(document)
    with pytest.raises(HandlerMisuse, match="went on as if nothing"):
        transaction.advance([step(rows)])

    transaction.abort()
    assert ledger(store) == []


@pytest.mark.parametrize("when", ["before the advance", "after the advance"])
def test_a_lost_connection_that_the_handler_swallowed_asks_for_another_try(
    store: MongoStore, when: str
) -> None:
    session, rows = owner(store)
    transaction = session.transaction()
    if when == "after the advance":
        transaction.advance([step(rows)])
    with failing(store, "insert", closeConnection=True), suppress(Exception):
        store.database["ledger"].insert_one({"_id": 1})

    with pytest.raises(TransientStoreError):
        transaction.advance([step(rows)]) if when == "before the advance" else transaction.commit()

    transaction.abort()
    assert ledger(store) == []


ENDINGS: dict[str, Callable[[ClientSession], object]] = {
    "commit_transaction": lambda session: session.commit_transaction(),
    "abort_transaction": lambda session: session.abort_transaction(),
    "end_session": lambda session: session.end_session(),
    "start_transaction": lambda session: session.start_transaction(),
    "with_transaction": lambda session: session.with_transaction(lambda _: None),
    "with session": lambda session: session.__exit__(None, None, None),
}


@pytest.mark.requirement("S3-22")
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_handler_that_ends_the_transaction_is_refused_at_once_and_rolled_back(
    store: MongoStore, ending: str
) -> None:
    session, rows = owner(store)
    transaction = session.transaction()
    store.database["ledger"].insert_one({"_id": 1})

    with pytest.raises(HandlerMisuse, match=r"session\.\w+\(\)"):
        ENDINGS[ending](transaction.session)
    with pytest.raises(HandlerMisuse):  # also where the handler swallows that
        transaction.advance([step(rows)])
    transaction.abort()

    assert ledger(store) == []
    with session.transaction() as another:
        store.database["ledger"].insert_one({"_id": 2})
        another.advance([step(rows)])
    assert ledger(store) == [2]


def test_outside_of_the_consumers_transaction_a_handler_may_use_its_own(
    store: MongoStore,
) -> None:
    session, rows = owner(store)

    with session.session.start_transaction():
        store.database["ledger"].insert_one({"_id": 1}, session=session.session)
    session.advance([step(rows)])

    assert ledger(store) == [1]


def test_a_transaction_that_the_handler_left_open_is_misuse(store: MongoStore) -> None:
    session, rows = owner(store)
    session.session.start_transaction()

    with pytest.raises(HandlerMisuse, match="left it open"):
        session.advance([step(rows)])

    session.close()
    assert store.open("ledger", "looker").positions([ORDERS]) == rows


@pytest.mark.requirement("S3-22")
@pytest.mark.parametrize("where", HELD)
@pytest.mark.parametrize("knows", ["the context", "the session"])
def test_a_write_of_a_thread_that_outlives_its_transaction_is_not_done(
    store: MongoStore, where: str, knows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, rows = owner(store)
    transaction = session.transaction()
    context = copy_context() if knows == "the context" else Context()
    passed = transaction.session if knows == "the session" else None
    with ThreadPoolExecutor(1) as thread, held(monkeypatch, where) as (waits, go):
        insert = store.database["ledger"].insert_one
        writing = thread.submit(context.run, insert, {"_id": 1}, session=passed)
        assert waits.wait(10)
        transaction.abort()
        go.set()
        with pytest.raises(HandlerMisuse, match="after the end of the transaction"):
            writing.result(10)

    assert ledger(store) == []
    session.write([InsertOne({"_id": 2}, namespace=f"{store.database.name}.ledger")])
    with session.transaction() as another:
        store.database["ledger"].insert_one({"_id": 3})
        another.advance([step(rows)])
    assert ledger(store) == [2, 3]


def test_without_transactions_of_the_consumer_a_handlers_threads_may_write(
    store: MongoStore,
) -> None:
    session, _ = owner(store)
    with ThreadPoolExecutor(1) as thread:
        insert = store.database["ledger"].insert_one
        thread.submit(insert, {"_id": 1}, session=session.session).result(10)

    assert ledger(store) == [1]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("_apply_to", ["self", "command", "is_retryable", "read_preference", "conn"]),
        ("_process_response", ["self", "reply"]),
        ("_unpin", ["self"]),
        ("_end_session", ["self", "lock"]),
    ],
)
def test_pymongo_still_has_the_private_names_that_the_guard_watches(
    name: str, parameters: list[str]
) -> None:
    assert list(inspect.signature(getattr(ClientSession, name)).parameters) == parameters


def test_pymongo_still_passes_the_guard_with_every_command_and_every_answer(
    store: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(Guard, "began", lambda _, command: seen.append(next(iter(command))))
    monkeypatch.setattr(Guard, "answered", lambda _, reply: seen.append(f"ok {reply['ok']:g}"))
    session = finished(open_session(store.client))
    session.guard.watch()

    store.database["ledger"].insert_one({}, session=session)
    store.database["ledger"].insert_many([{}], session=session)
    list(store.database["ledger"].find({}, session=session))

    assert seen == ["insert", "ok 1", "insert", "ok 1", "find", "ok 1"]
