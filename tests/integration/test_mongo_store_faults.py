"""What the store makes of the errors of MongoDB, brought about by fail points of the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from mongo_stores import ORDERS, Commands, failing, fresh_store, ledger, owner, step
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from eoconsumer.core.positions import Move
from eoconsumer.errors import CommitInDoubt, StoreError, TransientStoreError
from eoconsumer.servers import MongoReplicaSet
from eoconsumer.stores.mongo import MongoStore
from eoconsumer.stores.mongo.session import MongoSession

pytestmark = pytest.mark.slow


@pytest.fixture
def commands() -> Commands:
    return Commands()


@pytest.fixture
def store(mongo_replica_set: MongoReplicaSet, commands: Commands) -> Iterator[MongoStore]:
    # After a feigned shutdown the driver waits for the next heartbeat.
    options = "&heartbeatFrequencyMS=500"
    with fresh_store(mongo_replica_set, options=options, listener=commands) as store:
        yield store


def batch(store: MongoStore, session: MongoSession, move: Move) -> None:
    with session.transaction() as transaction:
        store.database["ledger"].insert_one({"_id": 1}, session=transaction.session)
        transaction.advance([move])


@pytest.mark.requirement("S3-18")
@pytest.mark.parametrize("command", ["insert", "update", "commitTransaction"])
def test_after_a_transient_error_the_batch_runs_again_and_its_effects_are_there_once(
    store: MongoStore, command: str
) -> None:
    session, rows = owner(store)
    labels = ["TransientTransactionError"]

    with (
        failing(store, command, errorCode=112, errorLabels=labels),
        pytest.raises((TransientStoreError, PyMongoError)) as error,
    ):
        batch(store, session, step(rows))
    assert isinstance(session.translate(error.value), TransientStoreError)
    assert ledger(store) == []

    batch(store, session, step(rows))

    assert ledger(store) == [1]
    assert session.positions([ORDERS])[ORDERS].next_offset == 1


# Whether the commit happened differs: a write concern error comes after it, the others before.
LOST_ANSWERS: dict[str, dict[str, Any]] = {
    "no majority in time": {"writeConcernError": {"code": 64, "errmsg": "no majority"}},
    "shutdown": {"errorCode": 91},
    "lost connection": {"closeConnection": True},
    "interrupted": {"errorCode": 11601},
}


@pytest.mark.requirement("S3-19")
@pytest.mark.parametrize("answer", LOST_ANSWERS)
def test_after_an_unknown_commit_result_the_commit_is_repeated_and_not_the_body(
    store: MongoStore, commands: Commands, answer: str
) -> None:
    session, rows = owner(store)
    commands.sent.clear()
    transaction = session.transaction()
    store.database["ledger"].insert_one({"_id": 1}, session=transaction.session)
    transaction.advance([step(rows)])

    # The driver repeats a commit once by itself.
    with (
        failing(store, "commitTransaction", times=2, **LOST_ANSWERS[answer]),
        pytest.raises(CommitInDoubt),
    ):
        transaction.commit()
    transaction.commit()

    assert ledger(store) == [1]
    assert len(commands["insert"]) == len(commands["update"]) == 1
    assert len(commands["commitTransaction"]) >= 2


OPERATIONS: dict[str, Callable[[MongoSession, Move], object]] = {
    "claim": lambda session, move: session.claim([move.partition], {}),
    "positions": lambda session, move: session.positions([move.partition]),
    "advance": lambda session, move: session.advance([move]),
}


@pytest.mark.parametrize("code", [64, 89, 91, 112, 189, 10107, 11600, 11601])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_a_fail_over_or_a_conflict_answers_asks_for_another_try(
    store: MongoStore, operation: str, code: int
) -> None:
    session, rows = owner(store)
    act = OPERATIONS[operation]

    with (
        failing(store, "find", "update", times=2, errorCode=code),
        pytest.raises(TransientStoreError),
    ):
        act(session, step(rows))

    act(session, step(rows))


def test_a_handler_whose_session_was_ended_in_its_midst_is_not_blamed(store: MongoStore) -> None:
    session, _ = owner(store)
    transaction = session.transaction()
    ledger = store.database["ledger"]
    ledger.insert_one({"_id": 1}, session=transaction.session)
    with (
        failing(store, "insert", errorCode=11601),
        pytest.raises(OperationFailure) as interrupted,
    ):
        ledger.insert_one({"_id": 2}, session=transaction.session)

    assert "errorLabels" not in (interrupted.value.details or {})
    assert isinstance(session.translate(interrupted.value), TransientStoreError)
    transaction.abort()


def test_what_another_try_would_not_mend_is_told_as_the_databases_refusal(
    store: MongoStore,
) -> None:
    session, rows = owner(store)

    with failing(store, "update", errorCode=13), pytest.raises(StoreError, match="13") as refused:
        session.advance([step(rows)])

    assert not isinstance(refused.value, TransientStoreError)


def test_an_error_of_the_database_is_found_behind_the_error_of_a_handler(
    store: MongoStore,
) -> None:
    session, _ = owner(store)

    def handler() -> None:
        try:
            store.database["ledger"].insert_one({"_id": 1})
        except PyMongoError as error:
            raise RuntimeError("the ledger could not be written") from error

    transaction = session.transaction()
    with failing(store, "insert", closeConnection=True), pytest.raises(RuntimeError) as error:
        handler()

    assert isinstance(session.translate(error.value), TransientStoreError)
    transaction.abort()


def test_a_claim_that_no_majority_has_is_no_claim_and_ends_nobodys_session(
    mongo_replica_set: MongoReplicaSet, store: MongoStore, commands: Commands
) -> None:
    session, rows = owner(store)
    second = store.open("ledger", "second")

    with ExitStack() as stack:
        for node in mongo_replica_set.secondaries():
            client = stack.enter_context(MongoClient[dict[str, Any]](node.url))
            point = {"configureFailPoint": "stopReplProducer"}
            client.admin.command({**point, "mode": "alwaysOn"})
            stack.callback(client.admin.command, {**point, "mode": "off"})
        with pytest.raises(TransientStoreError):
            second.claim([ORDERS], {})
    assert commands["killSessions"] == []

    position = second.claim([ORDERS], {}).positions[ORDERS]
    assert position.epoch > rows[ORDERS].epoch
    assert session.positions([ORDERS])[ORDERS] == position
