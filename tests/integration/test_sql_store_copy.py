"""Many rows for PostgreSQL go by COPY, where that comes to the same as their inserts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import pytest
from sql_cases import owner
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
    insert,
    select,
    text,
)

from eoconsumer.errors import WriteFailed
from eoconsumer.servers import PostgresServer
from eoconsumer.stores.sql import groups
from eoconsumer.stores.sql.copying import copied
from tests.conformance.sql_stores import FreshStore, fresh_store

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
def copies(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each group of many rows went by COPY."""
    found: list[bool] = []

    def noted(*arguments: Any) -> bool:
        found.append(copied(*arguments))
        return found[-1]

    monkeypatch.setattr(groups, "copied", noted)
    return found


@pytest.fixture
def store(postgres_server: PostgresServer) -> Iterator[FreshStore]:
    with fresh_store(postgres_server.url) as store:
        with store.engine.begin() as connection:
            connection.execute(text("DROP VIEW IF EXISTS seen_items"))
            ITEMS.metadata.drop_all(connection)
            ITEMS.metadata.create_all(connection)
            connection.execute(text("CREATE VIEW seen_items AS SELECT number, name FROM items"))
        yield store


def written(store: FreshStore, *batches: Sequence[Any]) -> list[dict[str, Any]]:
    """Send each of ``batches`` in a transaction of one session; return the rows of the table."""
    session, _ = owner(store)
    for batch in batches:
        with session.transaction() as transaction:
            transaction.write(batch)
    with store.engine.connect() as connection:
        rows = connection.execute(select(ITEMS).order_by(ITEMS.c.number)).mappings()
        return [dict(row) for row in rows]


def inserts(into: Table, rows: Sequence[dict[str, Any]]) -> list[Any]:
    statement = insert(into)
    return [(statement, row) for row in rows]


ODD = ["", "\\N", "a\tb", "a\nb\r", "back\\slash", '"quoted"', "Zürich", "\\.", None]


def test_texts_and_whole_numbers_arrive_as_they_are(store: FreshStore, copies: list[bool]) -> None:
    rows = [{"number": n, "name": ODD[n % len(ODD)], "price": Decimal(n) / 100} for n in range(70)]

    found = written(store, inserts(ITEMS, rows))

    assert copies == [True]
    assert [{name: row[name] for name in rows[0]} for row in found] == rows


@pytest.mark.parametrize("other", [{"weight": 0.1}, {"sold": True}, {"price": 0.5}])
def test_values_whose_text_might_mean_something_else_are_inserted(
    store: FreshStore, copies: list[bool], other: dict[str, Any]
) -> None:
    found = written(store, inserts(ITEMS, [{"number": n, **other} for n in range(60)]))

    assert True not in copies
    assert len(found) == 60


def test_few_rows_are_inserted(store: FreshStore, copies: list[bool]) -> None:
    written(store, inserts(ITEMS, [{"number": n} for n in range(3)]))

    assert copies == [False]


def test_a_row_that_is_refused_is_known_and_nothing_stays(store: FreshStore) -> None:
    with pytest.raises(WriteFailed) as failed:
        written(store, inserts(ITEMS, [{"number": n} for n in range(100)]))

    assert failed.value.index == 77
    assert written(store) == []


def test_outside_of_a_transaction_what_stands_before_the_refused_row_stays(
    store: FreshStore,
) -> None:
    session, _ = owner(store)

    with pytest.raises(WriteFailed) as failed:
        session.write(inserts(ITEMS, [{"number": n} for n in range(100)]))

    assert (failed.value.index, failed.value.before_are_done) == (77, True)
    assert [row["number"] for row in written(store)] == list(range(77))


RULE = "CREATE RULE elsewhere AS ON INSERT TO items WHERE NEW.number > 9 DO INSTEAD NOTHING"


@pytest.mark.parametrize("change", [RULE, "ALTER TABLE items ENABLE ROW LEVEL SECURITY"])
def test_tables_that_treat_inserts_in_their_own_way_get_inserts(
    store: FreshStore, copies: list[bool], change: str
) -> None:
    with store.engine.begin() as connection:
        connection.execute(text(change))

    found = written(store, inserts(ITEMS, [{"number": n} for n in range(60)]))

    assert copies == [False]
    assert len(found) == (10 if change == RULE else 60)


def test_a_view_gets_inserts(store: FreshStore, copies: list[bool]) -> None:
    found = written(store, inserts(SEEN, [{"number": n, "name": "tea"} for n in range(60)]))

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

    found = written(store, first, second)

    assert [row["price"] for row in found] == [1] * 120
    assert copies == [False]  # the first one ended in an error
