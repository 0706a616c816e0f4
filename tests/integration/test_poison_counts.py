"""What one poison message among a thousand costs: transactions counted on a real replica set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from math import floor, log2
from typing import Any

import pytest
from mongo_stores import Commands, fresh_store
from pymongo import InsertOne, UpdateOne

from eoconsumer import Consumer, Message, Record, RetryPolicy, TopicPartition
from eoconsumer.core.flow import Flow
from eoconsumer.core.identity import Found, Sighting
from eoconsumer.core.positions import Start
from eoconsumer.core.settings import Settings
from eoconsumer.message import RawMessage
from eoconsumer.runner.flag import Flag
from eoconsumer.runner.reader import Reader
from eoconsumer.runner.watch import Watch
from eoconsumer.servers import MongoReplicaSet
from eoconsumer.stores.mongo import MongoStore

KEY = TopicPartition("moves", 0)
N, POISON = 1_000, 617
GOOD = [n for n in range(N) if n != POISON]
RECORDS = [Record("moves", 0, n, b"%d" % n, b"key-%d" % (n % 7)) for n in range(N)]
BISECTED = floor(2 + 2 * log2(N))
pytestmark = [pytest.mark.slow, pytest.mark.requirement("N4")]

Handler = Callable[..., Any]


class OnePoll:
    """A source without a broker: all messages come with one poll, then the reader is stopped."""

    max_poll_seconds = 300.0

    def __init__(self, records: Sequence[RawMessage], flow: Flow, stopping: Flag) -> None:
        self._records = list(records)
        self._flow = flow
        self._stopping = stopping
        self._assigned: Callable[[list[TopicPartition]], None] | None = None

    def subscribe(self, _: object, assigned: Any, *__: object) -> None:
        self._assigned = assigned

    def poll(self, *_: object) -> Sequence[RawMessage]:
        assigned, self._assigned = self._assigned, None
        if assigned:
            assigned([KEY])
            return []
        records, self._records = self._records, []
        if not records and not self._flow.partitions[KEY].pending:
            self._stopping.set()
        return records

    def resolve(self, policies: Mapping[TopicPartition, object]) -> dict[TopicPartition, Start]:
        return {key: Start(0, 1) for key in policies}

    def assignment(self) -> list[TopicPartition]:
        return [KEY]

    def inspect(self, keys: Sequence[TopicPartition]) -> dict[TopicPartition, Sighting]:
        return {key: Sighting(low=0, high=N) for key in keys}

    glance = inspect

    def look_up(self, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, Found | None]:
        return dict.fromkeys(offsets)

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *_, **__: None


@pytest.fixture
def commands() -> Commands:
    return Commands()


@pytest.fixture
def store(mongo_replica_set: MongoReplicaSet, commands: Commands) -> Iterator[MongoStore]:
    with fresh_store(mongo_replica_set, listener=commands) as store:
        yield store


def transactions(
    store: MongoStore, commands: Commands, form: str, handler: Handler, attempts: int = 1
) -> int:
    """Consume all messages with a batch that takes them at once; return how many were begun."""
    consumer = type("Counted", (Consumer,), {form: handler, "topics": "moves", "group": "ledger"})(
        "localhost:1", store
    )
    retry = RetryPolicy(attempts, 0.01, 0.01)
    # However slow the machine is, all messages fit into one transaction.
    flow = Flow(Settings(on_poison="bury", retry=retry, mirror=False, target_commit_time=3_600.0))
    flow.pace.limit = N
    stopping, watch = Flag(), Watch(consumer.events)
    reader = Reader(
        flow,
        OnePoll(RECORDS, flow, stopping),  # type: ignore[arg-type]  # it stands for a broker
        store.open("ledger", "reader"),
        consumer._user(),
        watch,
        stopping,
        None,
    )
    commands.sent.clear()
    reader.run()
    assert watch.snapshot().store_retries == 0
    begun = [event for event in commands.sent if event.command.get("startTransaction")]
    return len(begun)


def rows(store: MongoStore) -> list[int]:
    found = store.database["ledger"].find({"n": {"$exists": True}})
    return sorted(row["n"] for row in found)


def letters(store: MongoStore) -> list[int]:
    return [letter["offset"] for letter in store.database["eoconsumer_dead_letters"].find()]


def row(message: Message) -> dict[str, Any]:
    """Return what the server refuses for the poison message: a key that is there already."""
    n = message.offset
    return {"_id": 0 if n == POISON else n, "n": n}


def each(self: Any, message: Message, session: Any) -> None:
    self.store.database["ledger"].insert_one(row(message), session=session)


def many(self: Any, messages: Sequence[Message], session: Any) -> None:
    self.store.database["ledger"].insert_many(map_to_rows(messages), session=session)


def map_to_rows(messages: Sequence[Message]) -> list[dict[str, Any]]:
    return [row(message) for message in messages]


def bulk(self: Any, messages: Sequence[Message], session: Any) -> None:
    writes = [InsertOne(each) for each in map_to_rows(messages)]
    self.store.database["ledger"].bulk_write(writes, session=session)


def wrapped(self: Any, messages: Sequence[Message], session: Any) -> None:
    try:
        many(self, messages, session)
    except Exception as error:
        raise ValueError("the ledger refused") from error


def returned(self: Any, message: Message) -> list[InsertOne[dict[str, Any]]]:
    return [InsertOne(row(message), namespace=f"{self.store.database.name}.ledger")]


def returned_mixed(self: Any, message: Message) -> Iterator[Any]:
    name = self.store.database.name
    yield UpdateOne({"_id": message.key}, {"$inc": {"n": 1}}, True, namespace=f"{name}.stock")
    yield from returned(self, message)


@pytest.mark.parametrize(
    ("form", "handler", "attempts"),
    [
        pytest.param("handle", each, 3, id="a handler of one message"),
        pytest.param("writes", returned, 3, id="writes"),
        pytest.param("writes", returned_mixed, 1, id="writes to two collections"),
        pytest.param("handle_batch", many, 1, id="insert_many"),
        pytest.param("handle_batch", bulk, 3, id="bulk_write"),
        pytest.param("handle_batch", wrapped, 1, id="an error with its cause"),
    ],
)
def test_a_known_culprit_costs_three_transactions_and_its_own_further_tries(
    form: str, handler: Handler, attempts: int, store: MongoStore, commands: Commands
) -> None:
    assert transactions(store, commands, form, handler, attempts) <= 3 + (attempts - 1)
    assert rows(store) == GOOD
    assert letters(store) == [POISON]


def two_for_each(self: Any, messages: Sequence[Message], session: Any) -> None:
    found = [each for row in map_to_rows(messages) for each in (row, {"copy": row["n"]})]
    self.store.database["ledger"].insert_many(found, session=session)


def from_an_iterator(self: Any, messages: Sequence[Message], session: Any) -> None:
    self.store.database["ledger"].insert_many(iter(map_to_rows(messages)), session=session)


@pytest.mark.parametrize("handler", [two_for_each, from_an_iterator])
def test_an_unknown_culprit_is_found_by_halving(
    handler: Handler, store: MongoStore, commands: Commands
) -> None:
    assert transactions(store, commands, "handle_batch", handler) <= BISECTED
    assert rows(store) == GOOD
    assert letters(store) == [POISON]


@pytest.mark.parametrize("value", [2**63, Decimal("1.5"), "\udc80", "x" * 17_000_000], ids=type)
def test_what_cannot_be_encoded_is_poison_and_never_asks_for_another_try(
    value: Any, store: MongoStore, commands: Commands
) -> None:
    def handler(self: Any, messages: Sequence[Message], session: Any) -> None:
        found = [{"n": m.offset, "x": value if m.offset == POISON else 1} for m in messages]
        self.store.database["ledger"].insert_many(found, session=session)

    assert transactions(store, commands, "handle_batch", handler) <= BISECTED
    assert rows(store) == GOOD
    assert letters(store) == [POISON]


@pytest.mark.parametrize("value", [2**63, Decimal("1.5"), "\udc80", "x" * 17_000_000], ids=type)
def test_a_returned_write_that_cannot_be_encoded_is_a_known_culprit(
    value: Any, store: MongoStore, commands: Commands
) -> None:
    def handler(self: Any, message: Message) -> list[InsertOne[dict[str, Any]]]:
        document = {"n": message.offset, "x": value if message.offset == POISON else 1}
        return [InsertOne(document, namespace=f"{self.store.database.name}.ledger")]

    assert transactions(store, commands, "writes", handler) <= 3
    assert rows(store) == GOOD
    assert letters(store) == [POISON]


def test_a_thousand_good_messages_are_one_transaction(
    store: MongoStore, commands: Commands
) -> None:
    def good(self: Any, messages: Sequence[Message], session: Any) -> None:
        found = [{"n": m.offset, "x": 1} for m in messages]
        self.store.database["ledger"].insert_many(found, session=session)

    assert transactions(store, commands, "handle_batch", good) == 1
    assert rows(store) == list(range(N))
