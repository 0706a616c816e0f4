"""Many rows for PostgreSQL go by COPY, where that comes to the same as their inserts."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sql_cases import copies, inserts, owner, written
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    MetaData,
    Numeric,
    String,
    Table,
    text,
)

from eoconsumer.errors import WriteFailed
from eoconsumer.servers import PostgresServer
from tests.conformance.sql_stores import FreshStore, fresh_store

__all__ = ["copies"]

ITEMS = Table(
    "items",
    MetaData(),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("name", String(40)),
    Column("price", Numeric(10, 2)),
    Column("weight", Float),
    Column("sold", Boolean),
    CheckConstraint("number <> 77"),
)
SEEN = Table("seen_items", MetaData(), Column("number", BigInteger), Column("name", String(40)))


@pytest.fixture
def store(postgres_server: PostgresServer) -> Iterator[FreshStore]:
    with fresh_store(postgres_server.url) as store:
        with store.engine.begin() as connection:
            connection.execute(text("DROP VIEW IF EXISTS seen_items"))
            ITEMS.metadata.drop_all(connection)
            ITEMS.metadata.create_all(connection)
            connection.execute(text("CREATE VIEW seen_items AS SELECT number, name FROM items"))
        yield store


ODD = ["", "\\N", "a\tb", "a\nb\r", "back\\slash", '"quoted"', "Zürich", "\\.", None]


def test_texts_and_whole_numbers_arrive_as_they_are(store: FreshStore, copies: list[bool]) -> None:
    rows = [{"number": n, "name": ODD[n % len(ODD)], "price": Decimal(n) / 100} for n in range(70)]

    found = written(store, ITEMS, inserts(ITEMS, rows))

    assert copies == [True]
    assert [{name: row[name] for name in rows[0]} for row in found] == rows


@pytest.mark.parametrize("other", [{"weight": 0.1}, {"sold": True}, {"price": 0.5}])
def test_values_whose_text_might_mean_something_else_are_inserted(
    store: FreshStore, copies: list[bool], other: dict[str, Any]
) -> None:
    found = written(store, ITEMS, inserts(ITEMS, [{"number": n, **other} for n in range(60)]))

    assert True not in copies
    assert len(found) == 60


def test_few_rows_are_inserted(store: FreshStore, copies: list[bool]) -> None:
    written(store, ITEMS, inserts(ITEMS, [{"number": n} for n in range(3)]))

    assert copies == [False]


def test_a_row_that_is_refused_is_known_and_nothing_stays(store: FreshStore) -> None:
    with pytest.raises(WriteFailed) as failed:
        written(store, ITEMS, inserts(ITEMS, [{"number": n} for n in range(100)]))

    assert failed.value.index == 77
    assert written(store, ITEMS) == []


def test_outside_of_a_transaction_what_stands_before_the_refused_row_stays(
    store: FreshStore,
) -> None:
    session, _ = owner(store)

    with pytest.raises(WriteFailed) as failed:
        session.write(inserts(ITEMS, [{"number": n} for n in range(100)]))

    assert (failed.value.index, failed.value.before_are_done) == (77, True)
    assert [row["number"] for row in written(store, ITEMS)] == list(range(77))


RULE = "CREATE RULE elsewhere AS ON INSERT TO items WHERE NEW.number > 9 DO INSTEAD NOTHING"


@pytest.mark.parametrize("change", [RULE, "ALTER TABLE items ENABLE ROW LEVEL SECURITY"])
def test_tables_that_treat_inserts_in_their_own_way_get_inserts(
    store: FreshStore, copies: list[bool], change: str
) -> None:
    with store.engine.begin() as connection:
        connection.execute(text(change))

    found = written(store, ITEMS, inserts(ITEMS, [{"number": n} for n in range(60)]))

    assert copies == [False]
    assert len(found) == (10 if change == RULE else 60)


def test_a_view_gets_inserts(store: FreshStore, copies: list[bool]) -> None:
    found = written(store, ITEMS, inserts(SEEN, [{"number": n, "name": "tea"} for n in range(60)]))

    assert copies == [False]
    assert len(found) == 60


def test_what_refuses_a_copy_all_the_same_gets_each_row_once_and_is_not_asked_again(
    store: FreshStore, copies: list[bool]
) -> None:
    # To a text that is a number a COPY says nothing else than an insert; to this column it does.
    with store.engine.begin() as connection:
        connection.execute(text("ALTER TABLE items ALTER price TYPE integer"))
    first, second = (
        inserts(ITEMS, [{"number": n, "price": Decimal("1.4")} for n in range(begin, begin + 60)])
        for begin in (100, 200)
    )

    found = written(store, ITEMS, first, second)

    assert [row["price"] for row in found] == [1] * 120
    assert copies == [False]  # the first one ended in an error
