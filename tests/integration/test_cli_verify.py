"""`eoconsumer verify` finds what was lost, doubled or reordered, and nothing where all is right."""

from __future__ import annotations

import json
from typing import Any

import pytest
from confluent_kafka import Producer
from consuming import committed
from counting import Each
from pymongo.database import Database
from stock_ledger.consumer import StockLedger
from stock_ledger.generate import documents, produce
from trial import DEADLINE, Document, Fill
from typer.testing import CliRunner

from eoconsumer import Message
from eoconsumer.cli.app import app
from eoconsumer.core.retry import RetryPolicy
from eoconsumer.servers import KafkaBroker
from eoconsumer.stores.mongo import MongoStore

pytestmark = [pytest.mark.slow, pytest.mark.requirement("N8")]
LEDGER = ("--collection", "ledger", "--line-field", "line", "--order-field", "handled_at")


class Verify:
    """The command for the group of a topic, which has the topic's name."""

    def __init__(self, bootstrap: str, url: str, topic: str, database: Database[Document]) -> None:
        self.bootstrap, self.url, self.topic, self.database = bootstrap, url, topic, database

    def call(self, *arguments: str) -> tuple[int, str, str]:
        addresses = {"EOCONSUMER_BOOTSTRAP_SERVERS": self.bootstrap, "EOCONSUMER_STORE": self.url}
        command = ["verify", "--group", self.topic, *arguments]
        done = CliRunner().invoke(app, command, env=addresses, catch_exceptions=False)
        return done.exit_code, done.stdout, done.stderr

    def __call__(self, *arguments: str) -> tuple[int, dict[str, int], dict[str, list[Any]]]:
        """Return the exit code, what was counted, and the places of what was found."""
        code, out, complaint = self.call(*arguments, "--json")
        assert out, complaint
        told = json.loads(out)
        counts = {kind: count for kind, count in told["counts"].items() if count}
        found = {
            kind: [(f["partition"], f["offset"]) for f in findings]
            for kind, findings in told["findings"].items()
            if findings
        }
        return code, counts, found


@pytest.fixture
def verify(
    kafka_broker: KafkaBroker, store_url: str, topic: str, database: Database[Document]
) -> Verify:
    return Verify(kafka_broker.bootstrap_servers, store_url, topic, database)


@pytest.fixture
def logged(verify: Verify, store: MongoStore, fill: Fill) -> Verify:
    """Eighty messages, applied in several runs by two consumers with the log; and ten more."""
    for _ in range(2):
        settings = {"applied_log": True, "batch_size": 5, "readers": 1}
        consumer = Each(verify.bootstrap, store, verify.topic, **settings)
        consumer.run_to_the_end(fill(verify.topic, 40))
    fill(verify.topic, 10)
    return verify


def lose(log: Any, row: Document) -> None:
    log.delete_one({"_id": row["_id"]})


def double(log: Any, row: Document) -> None:
    log.insert_one(row | {"_id": row["_id"] | {"number": 10_000}})


def swap(log: Any, row: Document) -> None:
    log.delete_one({"_id": row["_id"]})
    log.insert_one(row | {"_id": row["_id"] | {"number": 0}})


@pytest.mark.parametrize("topic", [2], indirect=True)
def test_by_the_applied_log_a_right_run_is_right_and_each_planted_fault_is_found(
    logged: Verify,
) -> None:
    assert logged() == (0, {"applied": 80, "not_yet": 10}, {})
    log = logged.database["eoconsumer_applied"]
    rows = list(log.find({"partition": 1}).sort("first"))
    row = rows[1]
    offsets = [(1, offset) for first, upto in row["ranges"] for offset in range(first, upto)]
    for plant, wanted in (
        (lose, {"lost": offsets}),
        (double, {"doubled": offsets}),
        (swap, {"out_of_order": offsets[:1]}),
    ):
        plant(log, row)
        code, _, found = logged()
        assert (code, found) == (3, wanted), plant
        log.delete_many({"partition": 1})
        log.insert_many(rows)
    assert logged()[0] == 0


def test_dead_letters_are_not_lost_and_applied_once_they_are_redriven(
    verify: Verify, store: MongoStore, fill: Fill
) -> None:
    fill(verify.topic, 10)

    def poisoned(message: Message) -> None:
        if message.offset in (3, 7):
            raise ValueError("no coffee")

    settings = {"applied_log": True, "retry": RetryPolicy(attempts=1)}
    consumer = Each(verify.bootstrap, store, verify.topic, poisoned, on_poison="bury", **settings)
    consumer.run_until(committed(10))
    assert verify() == (0, {"applied": 8, "buried": 2}, {})

    verify.database["eoconsumer_dead_letters"].delete_one({"offset": 7})

    assert verify() == (0, {"applied": 8, "buried": 1, "passed": 1}, {})

    Each(verify.bootstrap, store, verify.topic, **settings).redrive()

    assert verify() == (0, {"applied": 9, "passed": 1}, {})


def test_messages_of_aborted_transactions_are_not_missed_and_their_effects_are_found(
    verify: Verify, store: MongoStore
) -> None:
    producer = Producer({"bootstrap.servers": verify.bootstrap, "transactional.id": verify.topic})
    producer.init_transactions(DEADLINE)
    for outcome in ("commit", "abort", "commit"):
        producer.begin_transaction()
        for _ in range(3):
            producer.produce(verify.topic, b"x", partition=0)
        producer.flush(DEADLINE)  # what is aborted before it was sent, is never sent
        getattr(producer, f"{outcome}_transaction")(DEADLINE)
    consumer = Each(verify.bootstrap, store, verify.topic, applied_log=True)
    consumer.run_until(committed(6))
    assert verify()[::2] == (0, {})

    log = verify.database["eoconsumer_applied"]
    log.update_one({}, {"$push": {"ranges": [4, 5]}})

    assert verify()[::2] == (3, {"unknown": [(0, 4)]})


@pytest.fixture
def ledger(verify: Verify, store: MongoStore) -> Verify:
    """The stock ledger: sixty documents in two partitions, each with several rows."""
    produce(verify.bootstrap, verify.topic, documents(60, seed=5))
    consumer = StockLedger(
        verify.bootstrap, store, topics=[verify.topic], group=verify.topic, batch_size=10
    )
    consumer.run_until(committed(60))
    return verify


@pytest.mark.parametrize("topic", [2], indirect=True)
def test_the_stock_ledger_is_verified_by_the_marks_of_its_own_rows(ledger: Verify) -> None:
    rows = ledger.database["ledger"]
    assert ledger(*LEDGER) == (0, {"applied": 60}, {})
    some = rows.find_one({"offset": 7})
    assert some is not None
    key = {name: some[name] for name in ("topic", "partition", "offset")}
    place = (some["partition"], 7)

    rows.insert_one({name: value for name, value in some.items() if name != "_id"})
    assert ledger(*LEDGER)[::2] == (3, {"doubled": [place]})
    rows.update_many(key, {"$set": {"handled_at": 0}})
    assert ledger(*LEDGER)[::2] == (3, {"doubled": [place], "out_of_order": [place]})
    rows.delete_many(key)
    assert ledger(*LEDGER)[::2] == (3, {"lost": [place]})
    assert ledger(*LEDGER, "--from", "8")[::2] == (0, {})
    assert ledger(*LEDGER, "--topic", f"{ledger.topic}:{place[0]}", "--to", "7")[::2] == (0, {})


@pytest.mark.parametrize("topic", [2], indirect=True)
def test_names_with_dots_lead_into_a_row(ledger: Verify) -> None:
    nested = {"$set": {"from": {"topic": "$topic", "partition": "$partition", "at": "$offset"}}}
    rows = ledger.database["ledger"]
    rows.update_many({}, [nested, {"$unset": ["topic", "partition", "offset"]}])
    fields = ("--topic-field", "from.topic", "--partition-field", "from.partition")

    assert ledger(*LEDGER, *fields, "--offset-field", "from.at") == (0, {"applied": 60}, {})


def test_the_first_twenty_findings_of_a_kind_are_shown_and_the_others_counted(
    ledger: Verify,
) -> None:
    ledger.database["ledger"].delete_many({"offset": {"$lt": 30}})
    code, out, _ = ledger.call(*LEDGER)
    assert code == 3
    assert f"  {ledger.topic}[0]@0\n" in out
    assert f"  {ledger.topic}[0]@19\n" in out
    assert f"  {ledger.topic}[0]@20\n" not in out
    assert "and 10 more" in out
    assert out.endswith("WRONG\n")


def test_bounds_that_leave_nothing_are_refused_and_what_lies_before_them_is_not_counted(
    logged: Verify,
) -> None:
    assert "nothing was compared" in logged.call("--from", "9", "--to", "9")[2]
    assert "behind the end of every log" in logged.call("--from", "1000")[2]
    assert logged("--from", "89") == (0, {"not_yet": 1}, {})


def test_what_cannot_be_compared_is_refused_with_code_78(ledger: Verify) -> None:
    for arguments, complaint in {
        ("--collection", "legder"): "has no collection 'legder'",
        ("--group", "nobody"): "has no position here",
        ("--topic", "nowhere"): "has 0 partitions here",
        (): "The applied-log has nothing of these messages",
    }.items():
        code, _, said = ledger.call(*arguments)
        assert code == 78, said
        assert complaint in said
    rows = ledger.database["eoconsumer_offsets"]
    rows.update_one({"_id.partition": 0}, {"$set": {"topic_id": "of-its-former-life"}})
    code, _, said = ledger.call(*LEDGER)
    assert (code, "deleted and created again" in said) == (78, True)
    rows.update_one({"_id.partition": 0}, {"$unset": {"topic_id": ""}})
    code, _, said = ledger.call(*LEDGER, "--offset-field", "ofset")
    assert code == 3
    assert "Check --collection and the names of the fields" in said
