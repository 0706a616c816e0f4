"""Taking over from an owner that was killed, or stopped, inside an open transaction."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from mongo_stores import ORDERS, RETURNS, Commands, fresh_store, ledger, owner, step
from pymongo.errors import OperationFailure

from eoconsumer.core.lanes import Lane
from eoconsumer.core.positions import Start
from eoconsumer.errors import TransientStoreError
from eoconsumer.message import TopicPartition
from eoconsumer.servers import MongoReplicaSet
from eoconsumer.stores.mongo import MongoStore
from eoconsumer.stores.mongo.statements import FORMERS
from eoconsumer.stores.mongo.transaction import MongoTransaction
from eoconsumer.stores.twins import finished

pytestmark = pytest.mark.slow

TAKE_OVER_SECONDS = 10.0

OWNER = """
import sys
from eoconsumer.core.positions import Move, Start
from eoconsumer.message import TopicPartition
from eoconsumer.stores.mongo import MongoStore

store, orders = MongoStore.connect(sys.argv[1]), TopicPartition("orders", 0)
session = store.open("ledger", "former")
row = session.claim([orders], {orders: Start(0, 1)}).positions[orders]
transaction = session.transaction()
store.database["ledger"].insert_one({"_id": 1}, session=transaction.session)
transaction.advance([Move(orders, row.epoch, 0, 1)])
print("advanced", flush=True)
sys.stdin.readline()
try:
    transaction.commit()
except Exception as error:
    print(type(error).__name__, flush=True)
else:
    print("committed", flush=True)
"""


@contextmanager
def former_owner(url: str) -> Iterator[subprocess.Popen[str]]:
    """Run a process that owns a partition and has advanced in an open transaction."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "advanced\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def commands() -> Commands:
    return Commands()


@pytest.fixture
def store(mongo_replica_set: MongoReplicaSet, commands: Commands) -> Iterator[MongoStore]:
    with fresh_store(mongo_replica_set, listener=commands) as store:
        yield store


@pytest.mark.requirement("S3-07")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_an_owner_that_died_or_froze_in_an_open_transaction_is_replaced_in_seconds_not_in_a_minute(
    mongo_replica_set: MongoReplicaSet,
    store: MongoStore,
    how: signal.Signals,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with former_owner(mongo_replica_set.url_for(store.database.name)) as former:
        former.send_signal(how)
        session = store.open("ledger", "next")

        began = time.monotonic()
        with caplog.at_level(logging.WARNING, "eoconsumer"):
            row = session.claim([ORDERS], {}).positions[ORDERS]
        seconds = time.monotonic() - began

        assert seconds < TAKE_OVER_SECONDS
        assert (row.next_offset, row.owner) == (0, "next")
        assert "Ended the session of former owner former, which held orders[0]" in caplog.text
        with session.transaction() as transaction:
            store.database["ledger"].insert_one({"_id": 2}, session=transaction.session)
            transaction.advance([step({ORDERS: row})])
        if how is signal.SIGSTOP:
            former.send_signal(signal.SIGCONT)
            assert former.communicate("go on\n")[0] == "TransientStoreError\n"

    assert ledger(store) == [2]


def leave(transaction: MongoTransaction) -> None:
    """Let this thread out of a transaction that stays open, as that of another process."""
    finished(transaction._steps._leave())


@pytest.mark.requirement("S3-07")
def test_what_the_handler_of_a_dead_owner_wrote_is_in_the_way_for_one_try_only(
    store: MongoStore, commands: Commands
) -> None:
    store.database["ledger"].insert_one({"_id": "stock", "quantity": 0})
    change = ({"_id": "stock"}, {"$inc": {"quantity": 1}})
    dead, _ = owner(store, "dead")
    left_open = dead.transaction()
    store.database["ledger"].update_one(*change, session=left_open.session)
    leave(left_open)
    also_dead = store.open("ledger", "also dead")
    also_dead.claim([ORDERS], {})

    session = store.open("ledger", "next")
    rows = session.claim([ORDERS], {}).positions
    assert commands["killSessions"] == []
    first = session.transaction()
    with pytest.raises(OperationFailure) as raised:
        store.database["ledger"].update_one(*change, session=first.session)
    assert raised.value.code == 112
    assert isinstance(session.translate(raised.value), TransientStoreError)
    first.abort()

    with session.transaction() as transaction:
        store.database["ledger"].update_one(*change, session=transaction.session)
        transaction.advance([step(rows)])
    assert store.database["ledger"].find_one() == {"_id": "stock", "quantity": 1}


def test_an_owner_that_let_go_keeps_its_session_when_others_meet_a_conflict(
    store: MongoStore, commands: Commands
) -> None:
    former, rows = owner(store, "former")
    former.release([step(rows)])
    session = store.open("ledger", "next")
    session.claim([ORDERS], {})

    session.translate(OperationFailure("conflict", 112))

    assert commands["killSessions"] == []


@pytest.mark.requirement("N2")
@pytest.mark.parametrize("between", [False, True], ids=["at once", "after another had it"])
def test_lanes_do_not_end_each_other_when_their_reader_claims_again(
    store: MongoStore, commands: Commands, between: bool
) -> None:
    reader = store.open_lane("ledger", "reader", Lane(0, 2))
    lanes = [store.open_lane("ledger", f"reader:{n}", Lane(n, 2)) for n in (1, 2)]

    def claim(starts: Mapping[TopicPartition, Start]) -> None:
        whole = reader.claim([ORDERS], starts)
        for lane in lanes:
            row = whole.positions[ORDERS]
            lane.claim([ORDERS], {ORDERS: Start(0, 0, under=row.epoch, begun=row.begun)})

    claim({ORDERS: Start(0, 1)})
    other = store.open("ledger", "other")
    if between:
        other.claim([ORDERS], {})
    claim({})

    for session in (reader, *lanes):
        session.translate(OperationFailure("conflict", 112))

    ended = [command["killSessions"] for command in commands["killSessions"]]
    assert ended == ([[other.session.session_id]] * 3 if between else [])


@pytest.mark.requirement("N2")
def test_a_reader_that_claims_its_own_rows_again_and_again_does_not_push_out_a_dead_one(
    store: MongoStore, commands: Commands
) -> None:
    dead, _ = owner(store, "dead")
    busy = store.open("ledger", "busy")
    for _ in range(FORMERS + 1):
        busy.claim([ORDERS], {})
    session = store.open("ledger", "next")
    session.claim([ORDERS], {})

    session.translate(OperationFailure("conflict", 112))

    ended = [command["killSessions"] for command in commands["killSessions"]]
    assert [dead.session.session_id] in ended


def test_a_live_owner_that_holds_no_claimed_row_keeps_its_transaction(
    store: MongoStore, commands: Commands
) -> None:
    other = TopicPartition("orders", 1)
    blocking, rows = owner(store, "blocking", (ORDERS,))
    living, theirs = owner(store, "living", (RETURNS, other))
    blocked = blocking.transaction()
    blocked.advance([step(rows)])
    leave(blocked)
    alive = living.transaction()
    alive.advance([step(theirs, other)])

    session = store.open("ledger", "next")
    leave(alive)
    claims = session.claim([ORDERS, RETURNS], {})

    assert set(claims.positions) == {ORDERS, RETURNS}
    (killed,) = commands["killSessions"]
    assert killed["killSessions"] == [blocking.session.session_id]
    alive.commit()
    assert living.positions([other])[other].next_offset == 1


def test_an_owner_that_commits_in_time_is_waited_for(store: MongoStore, commands: Commands) -> None:
    session, rows = owner(store)
    transaction = session.transaction()
    transaction.advance([step(rows)])
    transaction.commit()

    position = store.open("ledger", "next").claim([ORDERS], {}).positions[ORDERS]

    assert position.next_offset == 1
    assert commands["killSessions"] == []


def test_the_session_that_was_ended_serves_its_owner_again(store: MongoStore) -> None:
    session, rows = owner(store, "first", (ORDERS, RETURNS))
    blocked = session.transaction()
    blocked.advance([step(rows, ORDERS)])
    store.open("ledger", "next").claim([ORDERS], {})
    blocked.abort()

    with session.transaction() as transaction:
        store.database["ledger"].insert_one({"_id": 1}, session=transaction.session)
        transaction.advance([step(rows, RETURNS)])

    assert ledger(store) == [1]
