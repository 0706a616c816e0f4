"""A handler that swallows an error, or ends the transaction, commits nothing of its batch."""

# ruff: noqa: PT012 - a transaction is a block

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from sql_cases import ORDERS, SERVERS, Line, owner, sql_store, step, texts
from sqlalchemy import Select, insert, select, text
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from eoconsumer.errors import HandlerMisuse, StoreError, TransientStoreError
from tests.conformance.sql_stores import FreshStore, ledger

__all__ = ["sql_store"]


def bad(session: Session) -> None:
    session.execute(insert(ledger), {"text": None})


@pytest.mark.requirement("S3-20")
def test_an_error_that_the_handler_swallows_is_never_committed(sql_store: FreshStore) -> None:
    session, rows = owner(sql_store)

    with pytest.raises(HandlerMisuse, match="went on as if"), session.transaction() as transaction:
        transaction.session.execute(insert(ledger), {"text": "half"})
        with suppress(IntegrityError):
            bad(transaction.session)
        transaction.advance([step(rows)])

    assert texts(sql_store) == []
    assert session.positions([ORDERS]) == rows


def test_nothing_more_is_sent_after_an_error_that_was_swallowed(sql_store: FreshStore) -> None:
    session, _ = owner(sql_store)
    transaction = session.transaction()
    with suppress(IntegrityError):
        bad(transaction.session)

    with pytest.raises(HandlerMisuse):
        transaction.session.execute(insert(ledger), {"text": "more"})
    transaction.abort()

    assert texts(sql_store) == []


def test_an_error_that_leaves_the_handler_is_the_handlers(sql_store: FreshStore) -> None:
    session, _ = owner(sql_store)
    transaction = session.transaction()
    with pytest.raises(IntegrityError) as raised:
        bad(transaction.session)

    assert session.translate(raised.value) is raised.value
    transaction.abort()


def test_an_error_within_a_savepoint_may_be_swallowed(sql_store: FreshStore) -> None:
    session, rows = owner(sql_store)

    with session.transaction() as transaction:
        transaction.session.execute(insert(ledger), {"text": "before"})
        with suppress(IntegrityError), transaction.session.begin_nested():
            transaction.session.execute(insert(ledger), {"text": "never"})
            bad(transaction.session)
        transaction.session.execute(insert(ledger), {"text": "after"})
        transaction.advance([step(rows)])

    assert texts(sql_store) == ["before", "after"]


def test_an_error_outside_of_a_savepoint_is_not_mended_by_one(sql_store: FreshStore) -> None:
    session, rows = owner(sql_store)

    with pytest.raises(HandlerMisuse), session.transaction() as transaction:
        with suppress(IntegrityError):
            bad(transaction.session)
        with suppress(HandlerMisuse), transaction.session.begin_nested():
            transaction.session.execute(insert(ledger), {"text": "never"})
        transaction.advance([step(rows)])

    assert texts(sql_store) == []


@pytest.mark.requirement("S3-20")
@pytest.mark.parametrize("what", ["commit", "rollback", "close"])
def test_a_handler_cannot_end_the_session(sql_store: FreshStore, what: str) -> None:
    session, rows = owner(sql_store)

    with pytest.raises(HandlerMisuse, match=what), session.transaction() as transaction:
        transaction.session.execute(insert(ledger), {"text": "half"})
        with suppress(HandlerMisuse):
            getattr(transaction.session, what)()
        transaction.advance([step(rows)])

    assert texts(sql_store) == []


@pytest.mark.parametrize("statement", ["COMMIT", " rollback", "BEGIN", "End"])
def test_a_handler_cannot_end_the_transaction_by_a_statement(
    sql_store: FreshStore, statement: str
) -> None:
    session, rows = owner(sql_store)

    with pytest.raises(HandlerMisuse, match="ends the trans"), session.transaction() as transaction:
        transaction.session.execute(insert(ledger), {"text": "half"})
        with suppress(HandlerMisuse):
            transaction.session.execute(text(statement))
        transaction.advance([step(rows)])

    assert texts(sql_store) == []


@pytest.mark.parametrize("what", ["commit", "rollback"])
def test_a_handler_cannot_end_the_transaction_on_its_connection(
    sql_store: FreshStore, what: str
) -> None:
    session, rows = owner(sql_store)

    with pytest.raises(HandlerMisuse), session.transaction() as transaction:
        transaction.session.execute(insert(ledger), {"text": "half"})
        with suppress(HandlerMisuse):
            getattr(transaction.session.connection(), what)()
        with pytest.raises((HandlerMisuse, SQLAlchemyError)) as raised:
            transaction.session.execute(insert(ledger), {"text": "more"})
        assert isinstance(session.translate(raised.value), HandlerMisuse)
        transaction.advance([step(rows)])

    assert texts(sql_store) == []


@pytest.mark.parametrize("sql_store", SERVERS[1:], indirect=True)
def test_mariadb_would_commit_for_ddl_which_is_refused(sql_store: FreshStore) -> None:
    session, rows = owner(sql_store)

    with pytest.raises(HandlerMisuse, match="CREATE"), session.transaction() as transaction:
        transaction.session.execute(insert(ledger), {"text": "half"})
        with suppress(HandlerMisuse):
            transaction.session.execute(text("CREATE TABLE other (id INT)"))
        transaction.advance([step(rows)])

    assert texts(sql_store) == []


def test_objects_that_the_handler_added_are_written_with_the_position(
    sql_store: FreshStore,
) -> None:
    session, rows = owner(sql_store)

    with session.transaction() as transaction:
        transaction.session.add(Line(text="sold"))
        transaction.advance([step(rows)])

    assert texts(sql_store) == ["sold"]


def test_objects_that_cannot_be_written_stop_the_batch(sql_store: FreshStore) -> None:
    session, rows = owner(sql_store)

    with (
        pytest.raises(StoreError, match=r"left in the session"),
        session.transaction() as transaction,
    ):
        transaction.session.add(Line(text=None))
        transaction.advance([step(rows)])

    with session.transaction() as transaction:
        transaction.advance([step(rows)])
    assert texts(sql_store) == []


def test_outside_of_a_transaction_each_write_stands_at_once(sql_store: FreshStore) -> None:
    session, rows = owner(sql_store)

    session.session.execute(insert(ledger), {"text": "sold"})
    assert texts(sql_store) == ["sold"]

    session.session.add(Line(text="returned"))
    session.advance([step(rows)])
    assert texts(sql_store) == ["sold", "returned"]


def test_outside_of_a_transaction_a_failed_flush_harms_nothing_that_follows(
    sql_store: FreshStore,
) -> None:
    session, rows = owner(sql_store)
    session.session.add(Line(text=None))
    with pytest.raises(SQLAlchemyError):
        session.session.flush()

    session.session.execute(insert(ledger), {"text": "sold"})
    session.advance([step(rows)])

    assert texts(sql_store) == ["sold"]
    assert session.session.scalars(select(ledger.c.text)).all() == ["sold"]


@pytest.mark.parametrize("sql_store", SERVERS, indirect=True)
def test_what_ended_the_whole_transaction_is_not_forgiven_by_a_savepoint(
    sql_store: FreshStore,
) -> None:
    session, rows = owner(sql_store)

    with pytest.raises(TransientStoreError), session.transaction() as transaction:
        with suppress(SQLAlchemyError, TransientStoreError), transaction.session.begin_nested():
            session.connection.end(session.connection.mark, "is killed by the test")
            transaction.session.execute(insert(ledger), {"text": "half"})
        transaction.advance([step(rows)])

    assert texts(sql_store) == []


def held(store: FreshStore) -> Select[Any]:
    """Write a row; return what locks it, or fails at once."""
    with store.engine.begin() as other:
        (key,) = other.execute(insert(ledger), {"text": "held"}).inserted_primary_key or ()
    return select(ledger).where(ledger.c.id == key).with_for_update(nowait=True)


@pytest.mark.parametrize("sql_store", SERVERS, indirect=True)
def test_a_lock_that_another_holds_may_be_swallowed_within_a_savepoint(
    sql_store: FreshStore,
) -> None:
    session, rows = owner(sql_store)
    locked = held(sql_store)
    with sql_store.engine.begin() as other:
        other.execute(locked)

        with session.transaction() as transaction:
            transaction.session.execute(insert(ledger), {"text": "before"})
            with suppress(OperationalError), transaction.session.begin_nested():
                transaction.session.execute(locked)
            transaction.session.execute(insert(ledger), {"text": "after"})
            transaction.advance([step(rows)])

    assert texts(sql_store) == ["held", "before", "after"]


@pytest.mark.parametrize("sql_store", SERVERS, indirect=True)
def test_a_lock_that_another_holds_is_tried_again_without_a_savepoint(
    sql_store: FreshStore,
) -> None:
    session, rows = owner(sql_store)
    locked = held(sql_store)
    with sql_store.engine.begin() as other:
        other.execute(locked)

        with pytest.raises(TransientStoreError), session.transaction() as transaction:
            with suppress(OperationalError):
                transaction.session.execute(locked)
            transaction.advance([step(rows)])

    assert session.positions([ORDERS]) == rows


@pytest.mark.parametrize("sql_store", SERVERS[:1], indirect=True)
def test_a_statement_that_took_too_long_may_be_swallowed_within_a_savepoint(
    sql_store: FreshStore,
) -> None:
    session, rows = owner(sql_store)

    with session.transaction() as transaction:
        with suppress(OperationalError), transaction.session.begin_nested():
            transaction.session.execute(text("SET LOCAL statement_timeout = '10ms'"))
            transaction.session.execute(text("SELECT pg_sleep(10)"))
        transaction.session.execute(insert(ledger), {"text": "after"})
        transaction.advance([step(rows)])

    assert texts(sql_store) == ["after"]


@pytest.mark.parametrize("sql_store", SERVERS[:1], indirect=True)
def test_a_deferred_constraint_that_is_made_immediate_is_the_handlers_error(
    sql_store: FreshStore,
) -> None:
    session, _ = owner(sql_store)
    once = "CREATE TEMPORARY TABLE once (n INT UNIQUE DEFERRABLE INITIALLY DEFERRED)"
    with pytest.raises(IntegrityError), session.transaction() as transaction:
        transaction.session.execute(text(once))
        transaction.session.execute(text("INSERT INTO once VALUES (1), (1)"))
        transaction.session.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))

    with pytest.raises(StoreError, match="refused to commit"), session.transaction() as transaction:
        transaction.session.execute(text(once))
        transaction.session.execute(text("INSERT INTO once VALUES (1), (1)"))
