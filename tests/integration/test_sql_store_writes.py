"""Writes as values mean what the statements mean, also where the driver takes them as they are."""

# ruff: noqa: PT012 - a transaction is a block

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import Any

import pytest
from sql_cases import SERVERS, owner, sql_store, step, texts
from sqlalchemy import (
    JSON,
    Column,
    DateTime,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    insert,
    select,
    text,
    update,
)

from eoconsumer.errors import HandlerMisuse, TransientStoreError, WriteFailed
from eoconsumer.stores.sql.groups import grouped
from eoconsumer.stores.sql.plain import plain_text
from tests.conformance.sql_stores import FreshStore, ledger

__all__ = ["sql_store"]

moves = Table(
    "stock_moves",
    MetaData(),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("item", String(20), nullable=False, default=lambda: "tea"),
    Column("at", DateTime),
    Column("notes", JSON),
)
NOON = datetime(2026, 1, 1, 12)  # the column has no zone
ADD = insert(moves)


@pytest.fixture
def table(sql_store: FreshStore) -> FreshStore:
    moves.metadata.create_all(sql_store.engine)
    with sql_store.engine.begin() as connection:
        connection.execute(delete(moves))
    return sql_store


def written(store: FreshStore, writes: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Send writes in a transaction; return the rows of the table."""
    session, _ = owner(store)
    with session.transaction() as transaction:
        transaction.write(writes)
    with store.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(select(moves).order_by(moves.c.number))]


def test_many_rows_of_one_statement_are_written(table: FreshStore) -> None:
    rows = [{"number": n, "item": f"item {n}"} for n in range(3000)]

    found = written(table, [(ADD, row) for row in rows])

    assert [row[:2] for row in found] == [(n, f"item {n}") for n in range(3000)]


def test_defaults_of_columns_and_types_that_convert_are_honoured(table: FreshStore) -> None:
    rows = [{"number": n, "at": NOON, "notes": {"n": [n]}} for n in range(3)]

    found = written(table, [(ADD, row) for row in rows])

    assert found == [(n, "tea", NOON, {"n": [n]}) for n in range(3)]


def test_values_in_the_statement_are_written_with_the_parameters(table: FreshStore) -> None:
    rice = insert(moves).values(item="rice")

    found = written(table, [(rice, {"number": n}) for n in range(3)])

    assert [row[1] for row in found] == ["rice"] * 3


def test_statements_of_all_kinds_keep_their_order(table: FreshStore) -> None:
    rename = update(moves).where(moves.c.number == bindparam("n")).values(item=bindparam("new"))
    remove = delete(moves).where(moves.c.number == bindparam("n"))

    found = written(
        table,
        [
            *((ADD, {"number": n, "item": "old"}) for n in range(4)),
            *((rename, {"n": n, "new": f"new {n}"}) for n in range(3)),
            *((remove, {"n": n}) for n in range(2)),
            insert(moves).values(number=9, item="alone"),
            text("UPDATE stock_moves SET item = 'text' WHERE number = 3"),
        ],
    )

    assert [row[:2] for row in found] == [(2, "new 2"), (3, "text"), (9, "alone")]


def test_outside_of_a_transaction_all_before_a_refused_write_stay(table: FreshStore) -> None:
    session, _ = owner(table)
    rows: list[dict[str, Any]] = [{"number": n, "item": "tea"} for n in (0, 1, 2, 2, 3)]

    with pytest.raises(WriteFailed) as failed:
        session.write([(ADD, row) for row in rows])

    assert (failed.value.index, failed.value.before_are_done) == (3, True)
    with table.engine.connect() as connection:
        assert sorted(connection.scalars(select(moves.c.number))) == [0, 1, 2]


@pytest.mark.parametrize("many", [5, 100])
@pytest.mark.parametrize("inside", [True, False])
def test_a_value_that_no_driver_can_send_is_told_like_one_that_the_database_refuses(
    table: FreshStore, many: int, inside: bool
) -> None:
    session, _ = owner(table)
    surrogate = "\ud800"  # json.loads gives such text for some payloads
    writes = [(ADD, {"number": n, "item": surrogate if n == 3 else "tea"}) for n in range(many)]

    with (
        pytest.raises(WriteFailed) as failed,
        session.transaction() if inside else nullcontext(session) as scope,
    ):
        scope.write(writes)

    assert failed.value.index == 3
    assert isinstance(failed.value.__cause__, UnicodeEncodeError)
    with table.engine.connect() as connection:
        found = sorted(connection.scalars(select(moves.c.number)))
    assert found == ([] if inside else [0, 1, 2])


@pytest.mark.parametrize("sql_store", SERVERS, indirect=True)
def test_a_connection_that_is_lost_before_returned_writes_are_sent_asks_for_another_try(
    sql_store: FreshStore,
) -> None:
    session, rows = owner(sql_store)
    writes = [(insert(ledger), {"text": "sold"})] * 2

    with pytest.raises(TransientStoreError), session.transaction() as transaction:
        session.connection.end(session.connection.mark, "is killed by the test")
        transaction.write(writes)
    with session.transaction() as again:
        again.write(writes)
        again.advance([step(rows)])

    assert texts(sql_store) == ["sold", "sold"]


def test_a_statement_that_names_other_schemas_by_its_options_goes_where_it_says(
    table: FreshStore,
) -> None:
    elsewhere = ADD.execution_options(schema_translate_map={None: "nowhere"})

    with pytest.raises(WriteFailed) as failed:
        written(table, [(elsewhere, {"number": n, "item": "tea"}) for n in range(3)])

    assert "nowhere" in str(failed.value.__cause__)


def test_equal_statements_that_follow_one_another_are_sent_together() -> None:
    writes = [(insert(moves), {"number": n}) for n in range(3)]
    other = [(insert(moves), {"number": 3, "item": "x"}), (delete(moves), {})]

    assert [group.size for group in grouped([*writes, *other, *writes])] == [3, 1, 1, 3]


@pytest.mark.parametrize("before", [[], [(ADD, {"number": 1})]])
@pytest.mark.parametrize("rest", [(), (None,), ([1],), ({"number": 2}, {})])
def test_a_tuple_that_is_no_write_is_told_wherever_it_stands(
    before: list[Any], rest: tuple[Any, ...]
) -> None:
    with pytest.raises(HandlerMisuse, match="tuple"):
        grouped([*before, (ADD, *rest)])


def test_only_what_the_driver_takes_as_it_is_goes_past_sqlalchemy(table: FreshStore) -> None:
    dialect = table.engine.dialect
    plain = {"number": 1, "item": "tea"}

    assert plain_text(ADD, plain, dialect) is not None
    assert plain_text(ADD, {"number": 1}, dialect) is None  # the default of item
    assert plain_text(insert(moves).values(item="x"), {"number": 1}, dialect) is None
    assert plain_text(ADD, plain | {"notes": {}}, dialect) is None
    assert plain_text(text("SELECT :n"), {"n": 1}, dialect) is None
