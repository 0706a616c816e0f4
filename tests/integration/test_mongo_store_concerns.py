"""What the store asks of MongoDB, read off the commands that the driver sends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from mongo_stores import ORDERS, RETURNS, Commands, fresh_store, owner, step
from pymongo import MongoClient

from eoconsumer.core.positions import Start
from eoconsumer.errors import ConfigurationError
from eoconsumer.message import TopicPartition
from eoconsumer.servers import MongoReplicaSet
from eoconsumer.stores.mongo import MongoStore

CARELESS = "&w=1&journal=false&readConcernLevel=local&readPreference=secondaryPreferred"


@pytest.fixture
def commands() -> Commands:
    return Commands()


@pytest.fixture
def store(mongo_replica_set: MongoReplicaSet, commands: Commands) -> Iterator[MongoStore]:
    with fresh_store(mongo_replica_set, options=CARELESS, listener=commands) as store:
        yield store


@pytest.mark.requirement("S3-17")
def test_a_transaction_asks_for_snapshot_majority_and_primary_whatever_the_url_says(
    store: MongoStore, commands: Commands
) -> None:
    session, rows = owner(store)
    commands.sent.clear()

    with session.transaction() as transaction:
        store.database["ledger"].find_one({}, session=transaction.session)
        store.database["ledger"].insert_one({}, session=transaction.session)
        transaction.advance([step(rows)])

    assert commands.names == ["find", "insert", "update", "commitTransaction"]
    first, *others = [event.command for event in commands.sent]
    assert first["startTransaction"]
    assert first["readConcern"]["level"] == "snapshot"
    assert all("readConcern" not in command for command in others)
    *writes, commit = others
    assert all("writeConcern" not in command for command in writes)
    assert commit["writeConcern"]["w"] == "majority"
    assert commit["writeConcern"]["j"] is True
    assert {event.connection_id for event in commands.sent} == {store.client.primary}


@pytest.mark.requirement("S3-17")
def test_without_a_transaction_the_handlers_writes_and_ours_wait_for_the_majority(
    store: MongoStore, commands: Commands
) -> None:
    session, rows = owner(store)
    commands.sent.clear()

    store.database["ledger"].insert_one({}, session=session.session)
    store.database["ledger"].find_one({}, session=session.session)
    session.advance([step(rows)])
    session.positions([ORDERS])

    for write in (*commands["insert"], *commands["update"]):
        assert write["writeConcern"]["w"] == "majority"
        assert write["writeConcern"]["j"] is True
    for read in commands["find"]:
        assert read["readConcern"]["level"] == "majority"
    assert {event.connection_id for event in commands.sent} == {store.client.primary}


def test_a_claim_of_any_number_of_partitions_is_one_write_and_two_reads_behind_it(
    store: MongoStore, commands: Commands
) -> None:
    many = [TopicPartition("orders", number) for number in range(200)]
    session = store.open("ledger", "first")
    session.claim(many, {key: Start(0, partitions=200) for key in many})
    commands.sent.clear()

    session.claim(many, {})

    assert commands.names == ["update", "find", "find"]
    assert commands["update"][0]["writeConcern"]["w"] == "majority"
    assert commands["update"][0]["maxTimeMS"] <= 500
    for find in commands["find"]:  # the rows, and the keys in quarantine
        assert find["readConcern"]["level"] == "majority"
        assert "afterClusterTime" in find["readConcern"]


def test_the_positions_of_all_partitions_move_in_one_command(
    store: MongoStore, commands: Commands
) -> None:
    session, rows = owner(store, keys=(ORDERS, RETURNS))
    commands.sent.clear()

    with session.transaction() as transaction:
        transaction.advance([step(rows, ORDERS), step(rows, RETURNS)])

    assert commands.names == ["update", "commitTransaction"]


def test_retryable_writes_are_on_whatever_the_url_says(mongo_replica_set: MongoReplicaSet) -> None:
    url = mongo_replica_set.url_for("shop") + "&retryWrites=false"

    store = MongoStore.connect(url)

    assert store.client.options.retry_writes
    store.close()
    with (
        MongoClient[dict[str, Any]](url) as client,
        pytest.raises(ConfigurationError, match="retryWrites=false"),
    ):
        MongoStore(client, "shop")


def test_a_primary_that_hangs_is_noticed_soon_unless_the_url_says_otherwise(
    mongo_replica_set: MongoReplicaSet,
) -> None:
    url = mongo_replica_set.url_for("shop")
    ours, theirs = MongoStore.connect(url), MongoStore.connect(url + "&connecttimeoutms=9000")

    assert ours.client.options.pool_options.connect_timeout == 5.0
    assert theirs.client.options.pool_options.connect_timeout == 9.0
    ours.close()
    theirs.close()
