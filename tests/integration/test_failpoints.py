"""Errors that MongoDB is told to answer with, at each command of a batch's transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from counting import Counting, Each, Runs
from pymongo.database import Database
from trial import Document, Fill, Verdict, verdict

from eoconsumer import Message
from eoconsumer.servers import KafkaBroker
from eoconsumer.stores.mongo import MongoStore

pytestmark = pytest.mark.slow

COUNT = 100
TRANSIENT = ["TransientTransactionError"]
#: More often than the driver itself tries again.
TIMES = 3

Arm = Callable[..., Callable[[Message], object]]
forms = pytest.mark.parametrize("form", [Each, Runs])


@pytest.fixture
def arm(database: Database[Document]) -> Iterator[Arm]:
    """Return what lets ``times`` of a command fail, once message 30 comes to the handler.

    Only commands of the consumer's client fail: it has the name of the database.
    """
    admin = database.client.admin

    def configure(mode: object, data: Document) -> None:
        point = {"configureFailPoint": "failCommand", "mode": mode, "data": data}
        with database.client.start_session() as outside:  # not the one of the handler
            admin.command(point, session=outside)

    def prepare(command: str, times: int, **how: Any) -> Callable[[Message], object]:
        data = {"failCommands": [command], "appName": database.name, **how}
        waiting = [data]

        def before(message: Message) -> None:
            if waiting and message.offset >= 30:
                configure({"times": times}, waiting.pop())

        return before

    yield prepare
    configure("off", {})


@pytest.mark.requirement("S3-18")
@forms
@pytest.mark.parametrize(
    ("command", "code"), [("insert", 112), ("update", 112), ("commitTransaction", 251)]
)
def test_a_transient_transaction_error_runs_the_batch_again_with_each_effect_once(
    form: type[Counting],
    command: str,
    code: int,
    kafka_broker: KafkaBroker,
    store: MongoStore,
    topic: str,
    fill: Fill,
    arm: Arm,
    database: Database[Document],
) -> None:
    produced = fill(topic, COUNT)
    before = arm(command, 1, errorCode=code, errorLabels=TRANSIENT)
    consumer = form(kafka_broker.bootstrap_servers, store, topic, before)
    seen = consumer.run_to_the_end(produced)

    assert verdict(database, produced) == Verdict()
    assert max(consumer.calls.values()) == 2
    assert (seen.store_retries, seen.retries, seen.restarts) == (1, 0, 0)


@pytest.mark.requirement("S3-18")
@pytest.mark.parametrize("command", ["insert", "update"])
def test_a_connection_cut_in_a_transaction_runs_the_batch_again(
    command: str,
    kafka_broker: KafkaBroker,
    store: MongoStore,
    topic: str,
    fill: Fill,
    arm: Arm,
    database: Database[Document],
) -> None:
    produced = fill(topic, COUNT)
    consumer = Runs(
        kafka_broker.bootstrap_servers, store, topic, arm(command, 2, closeConnection=True)
    )
    seen = consumer.run_to_the_end(produced)

    assert verdict(database, produced) == Verdict()
    assert seen.store_retries == 2
    assert (seen.retries, seen.restarts) == (0, 0)


@pytest.mark.requirement("S3-19")
@pytest.mark.parametrize(
    "how",
    [
        pytest.param(
            {"writeConcernError": {"code": 91, "errmsg": "shutting down"}}, marks=pytest.mark.slow
        ),
        {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}},
        {"closeConnection": True},
        {"errorCode": 189},
        {"errorCode": 50},
    ],
    ids=["applied", "applied-late", "cut", "stepdown", "time-limit"],
)
def test_an_unknown_commit_result_repeats_the_commit_and_not_the_handler(
    how: Document,
    kafka_broker: KafkaBroker,
    store: MongoStore,
    topic: str,
    fill: Fill,
    arm: Arm,
    database: Database[Document],
) -> None:
    produced = fill(topic, COUNT)
    before = arm("commitTransaction", TIMES, **how)
    consumer = Each(kafka_broker.bootstrap_servers, store, topic, before)
    seen = consumer.run_to_the_end(produced)

    assert verdict(database, produced) == Verdict()
    assert set(consumer.calls.values()) == {1}
    assert (seen.in_doubt_committed, seen.in_doubt_repeated) == (1, 0)
    assert (seen.store_retries, seen.restarts, seen.fenced) == (0, 0, 0)


@pytest.mark.requirement("S3-02")
@pytest.mark.parametrize("command", ["insert", "update"])
def test_at_least_once_handles_again_what_the_database_could_not_take(
    command: str,
    kafka_broker: KafkaBroker,
    store: MongoStore,
    topic: str,
    fill: Fill,
    arm: Arm,
    database: Database[Document],
) -> None:
    produced = fill(topic, COUNT)
    before = arm(command, TIMES, errorCode=189, errorLabels=["RetryableWriteError"])
    settings = {"mode": "at_least_once", "commit_batch": 10}
    consumer = Runs(kafka_broker.bootstrap_servers, store, topic, before, **settings)
    seen = consumer.run_to_the_end(produced)

    result = verdict(database, produced)
    assert result.lost == 0
    assert result.doubled <= 10
    assert seen.store_retries > 0
    assert seen.restarts == 0


@pytest.mark.requirement("S3-05")
def test_at_most_once_gives_up_what_the_database_could_not_take_and_goes_on(
    kafka_broker: KafkaBroker,
    store: MongoStore,
    topic: str,
    fill: Fill,
    arm: Arm,
    database: Database[Document],
) -> None:
    produced = fill(topic, COUNT)
    before = arm("insert", TIMES, errorCode=189, errorLabels=["RetryableWriteError"])
    settings = {"mode": "at_most_once", "commit_batch": 10}
    consumer = Each(kafka_broker.bootstrap_servers, store, topic, before, **settings)
    seen = consumer.run_to_the_end(produced)

    assert set(consumer.calls.values()) == {1}
    assert verdict(database, produced).lost == seen.skipped == 1
    assert (seen.retries, seen.restarts) == (0, 0)
