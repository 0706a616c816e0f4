"""Lost connections, lost answers, and former owners that hang: on real servers."""

# ruff: noqa: PT012 - a transaction is a block

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, Event
from typing import Any

import pytest
from sql_cases import ORDERS, RETURNS, SERVERS, Line, crash, owner, sql_store, step, texts
from sqlalchemy import insert, select, text
from sqlalchemy.exc import SQLAlchemyError

from eoconsumer.core.letters import Hold
from eoconsumer.core.positions import Start
from eoconsumer.errors import (
    CommitInDoubt,
    Fenced,
    HandlerMisuse,
    StoreError,
    TransientStoreError,
)
from eoconsumer.servers import PostgresServer
from eoconsumer.stores.sql.session import SQLSession
from eoconsumer.testing.conformance.contract import patiently
from eoconsumer.testing.conformance.letters import KEY, letter, read
from tests.chaos.proxy import Proxies
from tests.conformance.sql_stores import FreshStore, fresh_store, ledger

__all__ = ["sql_store"]

on_servers = pytest.mark.parametrize("sql_store", SERVERS, indirect=True)


def kill(session: SQLSession) -> None:
    """End the connection of ``session`` on the server, as an administrator would."""
    session.connection.end(session.connection.mark, "is killed by the test")


class Far:
    """A store behind a proxy that loses answers."""

    def __init__(self, store: FreshStore, proxies: Proxies, near: FreshStore) -> None:
        self.store, self.proxies, self.near = store, proxies, near

    def commit_without_answer(self, session: SQLSession) -> None:
        """Commit; the request arrives, the answer does not, then the connection is cut."""
        transaction = session._transaction
        assert transaction is not None
        self.proxies.begin(0, "hold commits")
        with ThreadPoolExecutor(1) as thread:
            committing = thread.submit(transaction.commit)
            until = time.monotonic() + 30
            while not self.proxies.losses(0):
                assert time.monotonic() < until, "the commit was not answered"
                time.sleep(0.01)
            self.proxies.end(0, "hold commits")
            committing.result()


@pytest.fixture(params=SERVERS)
def far(request: pytest.FixtureRequest) -> Iterator[Far]:
    server = request.getfixturevalue(request.param)
    proxies = Proxies(1, [server.port])
    proxies.start()
    url = server.url.replace(str(server.port), str(proxies.ports(0)[str(server.port)]))
    with fresh_store(server.url) as near, fresh_store(url) as store:
        yield Far(store, proxies, near)
    proxies.stop()


@pytest.mark.requirement("S3-19")
def test_a_commit_whose_answer_is_lost_is_in_doubt_and_the_row_says_that_it_happened(
    far: Far,
) -> None:
    session, rows = owner(far.store)
    transaction = session.transaction()
    transaction.session.execute(insert(ledger), {"text": "sold"})
    transaction.advance([step(rows)])

    with pytest.raises(CommitInDoubt):
        far.commit_without_answer(session)
    transaction.commit()

    assert texts(far.near) == ["sold"]
    assert session.positions([ORDERS])[ORDERS].next_offset == 1


@pytest.mark.requirement("S3-19")
def test_a_commit_that_did_not_arrive_is_in_doubt_and_the_row_says_so(far: Far) -> None:
    session, rows = owner(far.store)
    transaction = session.transaction()
    transaction.session.execute(insert(ledger), {"text": "sold"})
    transaction.advance([step(rows)])

    far.proxies.cut(0)
    with pytest.raises(CommitInDoubt):
        transaction.commit()
    with pytest.raises(TransientStoreError, match="did not happen"):
        transaction.commit()
    transaction.abort()

    assert texts(far.near) == []
    with session.transaction() as again:
        again.session.execute(insert(ledger), {"text": "sold"})
        again.advance([step(rows)])
    assert texts(far.near) == ["sold"]


class Forgotten:
    """Stands for a connection that we have lost, and that the server still believes in."""

    invalidated, closed = True, False

    def in_transaction(self) -> bool:
        return False

    def invalidate(self) -> None:
        pass

    def close(self) -> None:
        pass


@on_servers
def test_a_reader_that_lost_its_connection_ends_it_on_the_server_and_goes_on_with_another(
    sql_store: FreshStore,
) -> None:
    session, rows = owner(sql_store)
    transaction = session.transaction()
    transaction.session.execute(insert(ledger), {"text": "half"})
    transaction.advance([step(rows)])
    forgotten = session.connection.live
    session.connection._connection = Forgotten()  # type: ignore[assignment]  # what is used of one
    session.connection.guard.watching = False

    began = time.monotonic()
    with session.transaction() as again:
        again.session.execute(insert(ledger), {"text": "sold"})
        again.advance([step(rows)])

    assert time.monotonic() - began < 40  # the server itself would take 60
    assert texts(sql_store) == ["sold"]
    with pytest.raises(SQLAlchemyError):
        forgotten.commit()


@on_servers
def test_objects_that_are_lost_with_their_connection_are_never_taken_for_written(
    sql_store: FreshStore,
) -> None:
    session, rows = owner(sql_store)
    session.session.add(Line(text="sold"))
    kill(session)

    with pytest.raises(StoreError) as raised:
        session.advance([step(rows)])

    assert not isinstance(raised.value, TransientStoreError), "another try would pass without them"
    assert texts(sql_store) == []
    assert session.positions([ORDERS]) == rows


@on_servers
def test_outside_of_a_transaction_a_session_outlives_its_connection(sql_store: FreshStore) -> None:
    session, _ = owner(sql_store)
    handed = session.session
    kill(session)
    with suppress(SQLAlchemyError):
        handed.execute(text("SELECT 1"))
    handed.rollback()

    handed.add(Line(text="sold"))
    session.flush()

    assert texts(sql_store) == ["sold"]


@on_servers
@pytest.mark.parametrize("when", ["idle", "in the transaction", "before the commit"])
def test_a_connection_that_was_ended_is_no_error_of_the_handler(
    sql_store: FreshStore, when: str
) -> None:
    session, rows = owner(sql_store)

    def batch(*, end: bool) -> None:
        if end and when == "idle":
            kill(session)
        with session.transaction() as transaction:
            transaction.session.execute(insert(ledger), {"text": "sold"})
            if end and when == "in the transaction":
                kill(session)
                with pytest.raises(SQLAlchemyError) as raised:
                    transaction.session.execute(insert(ledger), {"text": "more"})
                raise session.translate(raised.value)
            transaction.advance([step(rows)])
            if end and when == "before the commit":
                kill(session)

    with pytest.raises((TransientStoreError, CommitInDoubt)):
        batch(end=True)
    patiently(lambda: batch(end=False))

    assert texts(sql_store) == ["sold"]
    assert session.positions([ORDERS])[ORDERS].next_offset == 1


@on_servers
def test_a_lost_connection_that_the_handler_swallows_is_tried_again_and_half_of_it_never_stays(
    sql_store: FreshStore,
) -> None:
    session, rows = owner(sql_store)

    with pytest.raises(TransientStoreError), session.transaction() as transaction:
        transaction.session.execute(insert(ledger), {"text": "half"})
        kill(session)
        for _ in range(3):
            with suppress(SQLAlchemyError, TransientStoreError):
                transaction.session.execute(insert(ledger), {"text": "more"})
        transaction.advance([step(rows)])

    assert texts(sql_store) == []


@on_servers
def test_of_two_that_lock_each_other_out_one_is_tried_again(sql_store: FreshStore) -> None:
    session, _ = owner(sql_store)
    other, _ = owner(sql_store, "other", (RETURNS,))
    with sql_store.engine.begin() as connection:
        connection.execute(insert(ledger), [{"id": 1, "text": "a"}, {"id": 2, "text": "b"}])

    both = Barrier(2)

    def swap(each: SQLSession, first: int, second: int) -> str:
        transaction = each.transaction()
        try:
            for number in (first, second):
                transaction.session.execute(
                    text("UPDATE texts SET text = 'c' WHERE id = :id"), {"id": number}
                )
                if number == first:
                    both.wait(60)
            transaction.commit()
        except SQLAlchemyError as error:
            told = each.translate(error)
            transaction.abort()
            return type(told).__name__
        return "committed"

    with ThreadPoolExecutor(2) as threads:
        outcomes = [
            threads.submit(swap, session, 1, 2),
            threads.submit(swap, other, 2, 1),
        ]
        found = sorted(outcome.result() for outcome in outcomes)

    assert found in (["TransientStoreError", "committed"], ["TransientStoreError"] * 2)


@on_servers
@pytest.mark.requirement("N1")
def test_what_a_former_owner_that_hangs_has_written_is_not_waited_for(
    sql_store: FreshStore, caplog: pytest.LogCaptureFixture
) -> None:
    with sql_store.engine.begin() as connection:
        connection.execute(insert(ledger), {"id": 1, "text": "a"})
    change = text("UPDATE texts SET text = 'c' WHERE id = 1")
    former, rows = owner(sql_store)
    hanging = former.transaction()
    hanging.session.execute(change)  # and it has not advanced: its row is free
    session = sql_store.open("ledger", "second")
    rows = dict(session.claim([ORDERS], {}).positions)

    def batch() -> None:
        with session.transaction() as transaction:
            try:
                transaction.session.execute(change)
            except SQLAlchemyError as error:
                raise session.translate(error) from error
            transaction.advance([step(rows)])

    with caplog.at_level(logging.WARNING), pytest.raises(TransientStoreError):
        batch()
    assert "Ended the connection of a former owner" in caplog.text
    patiently(batch)
    hanging.abort()
    assert texts(sql_store) == ["c"]


@on_servers
@pytest.mark.requirement("N1", "N17")
def test_a_reader_that_is_stopped_in_its_claim_holds_the_rows_for_seconds_only(
    sql_store: FreshStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner(sql_store)[0].close()
    stopped, locked, goes_on = sql_store.open("ledger", "stopped"), Event(), Event()
    read = stopped.rows.read

    def stands_still(*arguments: Any) -> Any:
        locked.set()
        assert goes_on.wait(60)
        return read(*arguments)

    monkeypatch.setattr(stopped.rows, "read", stands_still)  # behind the lock, before the commit
    with ThreadPoolExecutor(1) as thread:
        claiming = thread.submit(stopped.claim, [ORDERS], {})
        assert locked.wait(30)
        other, began = sql_store.open("ledger", "other"), time.monotonic()
        patiently(lambda: other.claim([ORDERS], {}))
        assert time.monotonic() - began < 40
        goes_on.set()
        with pytest.raises(TransientStoreError):
            claiming.result()
    patiently(lambda: stopped.claim([ORDERS], {}))


@on_servers
def test_what_was_set_on_a_readers_connection_does_not_come_back_from_the_pool(
    sql_store: FreshStore,
) -> None:
    session, _ = owner(sql_store)
    mark = session.connection.mark
    session.close()

    with sql_store.engine.connect() as connection:
        assert sql_store._database.end(connection, mark) is False


def test_a_server_that_restarts_is_no_error_of_anybody() -> None:
    with PostgresServer() as server, fresh_store(server.url) as store:
        session, rows = owner(store)
        transaction = session.transaction()
        transaction.session.execute(insert(ledger), {"text": "half"})
        crash(server)
        with pytest.raises(TransientStoreError):
            transaction.advance([step(rows)])
        transaction.abort()
        with pytest.raises(TransientStoreError):
            session.transaction()
        server.start()

        with session.transaction() as again:
            again.session.execute(insert(ledger), {"text": "sold"})
            again.advance([step(rows)])
        assert texts(store) == ["sold"]


def test_a_fence_holds_when_a_transaction_reads_an_old_state(sql_store: FreshStore) -> None:
    session, rows = owner(sql_store)
    second = sql_store.open("ledger", "second")

    with pytest.raises((Fenced, TransientStoreError)), session.transaction() as transaction:
        transaction.session.execute(text("SELECT * FROM eoconsumer_offsets")).all()
        second.claim([ORDERS], {})
        transaction.session.execute(insert(ledger), {"text": "sold"})
        transaction.advance([step(rows)])

    assert texts(sql_store) == []


def test_what_is_no_write_names_what_was_returned(sql_store: FreshStore) -> None:
    session, _ = owner(sql_store)
    with pytest.raises(HandlerMisuse, match="str"), session.transaction() as transaction:
        transaction.write(["INSERT INTO texts VALUES (1)"])


@on_servers
@pytest.mark.requirement("N15")
def test_a_quarantine_stays_for_a_letter_that_the_releases_snapshot_does_not_show(
    sql_store: FreshStore,
) -> None:
    parking, releasing = sql_store.open("ledger", "first"), sql_store.open("ledger", "redrive")
    with parking.transaction() as transaction:
        transaction.bury([letter(1, Hold.BEGINS)])
    (found,) = read(sql_store)

    over = False
    with suppress(TransientStoreError), releasing.transaction() as release:
        release.remove(found)
        release.session.execute(select(ledger)).all()  # the snapshot, at REPEATABLE READ
        with parking.transaction() as transaction:
            transaction.bury([letter(3, Hold.WAITS)])
        over = release.lift(KEY)

    assert not over
    assert parking.claim([ORDERS], {ORDERS: Start(0, 1)}).positions[ORDERS].quarantined == {KEY.key}
