"""Many rows for MariaDB go in one statement, where that comes to the same as their inserts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from sql_cases import inserts, noted, owner, written
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    MetaData,
    Numeric,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import DBAPIError

from eoconsumer.errors import WriteFailed
from eoconsumer.servers import MariaDBServer
from eoconsumer.stores.sql.multirow import inserted
from eoconsumer.stores.sql.translation import Kind, kind_of
from tests.conformance.sql_stores import FreshStore, fresh_store

ITEMS = Table(
    "joined_items",
    MetaData(),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text(200_000)),
    Column("price", Numeric(30, 2)),
    Column("weight", Double),
    Column("sold", mysql.TINYINT),
    Column("seen", mysql.DATETIME(fsp=6)),
    CheckConstraint("number <> 77"),
    mariadb_charset="utf8mb4",
)
ODD: dict[str, list[Any]] = {
    "name": ["", "it's", 'a "quote"', "back\\slash", "50 %s %d %%", "a\nb\r\t\0", "Zürich 茶 🍵"],
    "price": [7, -7, Decimal("0.10"), 10**27],
    "weight": [0.1, -1e300, 5],
    "sold": [True, 1, False],
    "seen": [datetime(2026, 1, 1, 12), datetime(2026, 1, 1, 12, 0, 0, 999_999)],
}


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each group of many rows was put together here."""
    return noted(monkeypatch, "inserted")


@pytest.fixture
def store(mariadb_server: MariaDBServer) -> Iterator[FreshStore]:
    with fresh_store(mariadb_server.url) as store:
        ITEMS.metadata.drop_all(store.engine)
        ITEMS.metadata.create_all(store.engine)
        yield store


@pytest.mark.parametrize("column", ODD)
@pytest.mark.parametrize("with_null", [False, True])
def test_values_of_all_kinds_arrive_as_by_statements_of_their_own(
    store: FreshStore, joined: list[bool], column: str, with_null: bool
) -> None:
    values = [*ODD[column], *([None] if with_null else [])]
    rows = [{"number": n - 9, column: values[n % len(values)]} for n in range(60)]

    found = written(store, ITEMS, inserts(ITEMS, rows))

    assert joined == [True]
    with store.engine.begin() as connection:
        ITEMS.metadata.drop_all(connection)
        ITEMS.metadata.create_all(connection)
    assert found == written(store, ITEMS, *[inserts(ITEMS, [row]) for row in rows])


@pytest.mark.parametrize("mode", ["", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES"])
def test_each_character_of_ascii_arrives_alone_among_others_of_its_kind(
    store: FreshStore, mode: str
) -> None:
    texts = [f"{sign}a{sign}{sign}b{sign}" for sign in map(chr, range(128))]
    session, _ = owner(store)

    for place, each in enumerate(texts):
        with session.transaction() as transaction:
            transaction.session.execute(text("SET SESSION sql_mode = :mode"), {"mode": mode})
            rows = [{"number": 1_000 + 2 * place + n, "name": each} for n in range(2)]
            transaction.write(inserts(ITEMS, rows))

    assert [row["name"] for row in written(store, ITEMS)][::2] == texts


def test_thousands_of_rows_take_a_few_statements(store: FreshStore, joined: list[bool]) -> None:
    rows = [{"number": n + 100, "name": f"item {n}"} for n in range(3_000)]
    session, _ = owner(store)
    count = text("SHOW SESSION STATUS LIKE 'Com_insert'")

    with session.transaction() as transaction:
        before = int(transaction.session.execute(count).one()[1])
        transaction.write(inserts(ITEMS, rows))
        after = int(transaction.session.execute(count).one()[1])

    assert joined == [True]
    assert after - before == 4
    assert [{name: row[name] for name in rows[0]} for row in written(store, ITEMS)] == rows


def test_rows_that_are_too_long_for_one_statement_of_the_server_are_sent_in_several(
    store: FreshStore,
) -> None:
    short = [{"number": n + 1_000, "name": "short"} for n in range(200)]
    long = [{"number": n + 2_000, "name": "x" * 190_000} for n in range(120)]

    found = written(store, ITEMS, inserts(ITEMS, short + long))

    assert [len(row["name"]) for row in found] == [5] * 200 + [190_000] * 120


def test_what_happens_to_a_row_that_is_there_happens_to_each_of_many(
    store: FreshStore, joined: list[bool]
) -> None:
    add = mysql.insert(ITEMS)
    add = add.on_duplicate_key_update(price=ITEMS.c.price + add.inserted.price)
    writes = [(add, {"number": n % 10, "price": n}) for n in range(100)]

    found = written(store, ITEMS, writes)

    assert joined == [True]
    assert [row["price"] for row in found] == [sum(range(n, 100, 10)) for n in range(10)]


def test_a_row_that_is_refused_is_known_and_nothing_stays(store: FreshStore) -> None:
    with pytest.raises(WriteFailed) as failed:
        written(
            store, ITEMS, inserts(ITEMS, [{"number": n, "name": "secret"} for n in range(2_000)])
        )

    assert failed.value.index == 77
    assert written(store, ITEMS) == []
    told = str(failed.value.__cause__)
    assert len(told) < 1_000
    assert "secret" not in told


def test_outside_of_a_transaction_what_stands_before_the_refused_row_stays(
    store: FreshStore,
) -> None:
    session, _ = owner(store)

    with pytest.raises(WriteFailed) as failed:
        session.write(inserts(ITEMS, [{"number": n} for n in range(100)]))

    assert (failed.value.index, failed.value.before_are_done) == (77, True)
    assert [row["number"] for row in written(store, ITEMS)] == list(range(77))


def test_a_connection_that_is_gone_is_known_as_lost(store: FreshStore) -> None:
    with store.engine.connect() as connection, store.engine.connect() as other:
        number = connection.execute(text("SELECT connection_id()")).scalar_one()
        other.exec_driver_sql(f"KILL {int(number)}")
        with pytest.raises(DBAPIError) as lost:
            inserted(connection, "INSERT INTO joined_items (number) VALUES (%s)", [(1,), (2,)])
        connection.invalidate()

    assert kind_of(lost.value) is Kind.LOST
    assert lost.value.connection_invalidated
