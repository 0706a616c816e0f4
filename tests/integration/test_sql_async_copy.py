"""Many rows for PostgreSQL go by COPY on an event loop, too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from sql_cases import ORDERS, copies, inserts
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    MetaData,
    String,
    Table,
    select,
)

from eoconsumer.core.positions import Start
from eoconsumer.errors import TransientStoreError, WriteFailed
from eoconsumer.servers import PostgresServer
from eoconsumer.stores.sql import AsyncSQLStore, copying
from eoconsumer.stores.sql.session_async import AsyncSQLSession
from tests.conformance.sql_stores import fresh_store

__all__ = ["copies"]

LOTS = Table(
    "lots",
    MetaData(),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("name", String(1_000)),
    CheckConstraint("number <> 77"),
)
LONG = "x" * 900


@pytest.fixture
def url(postgres_server: PostgresServer) -> str:
    """The URL of an empty table."""
    with fresh_store(postgres_server.url) as store, store.engine.begin() as connection:
        LOTS.metadata.drop_all(connection)
        LOTS.metadata.create_all(connection)
    return postgres_server.bare_url


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[tuple[AsyncSQLStore, AsyncSQLSession]]:
    store = AsyncSQLStore.connect(url)
    session = await store.open("ledger", "first")
    await session.claim([ORDERS], {ORDERS: Start(0, 1)})
    yield store, session
    await session.close()
    await store.close()


async def numbers(store: AsyncSQLStore) -> list[int]:
    async with store.engine.connect() as connection:
        return [*await connection.scalars(select(LOTS.c.number).order_by(LOTS.c.number))]


@pytest.mark.requirement("N14")
def test_rows_on_a_loop_go_by_copy(url: str, copies: list[bool]) -> None:
    async def main() -> list[int]:
        async with opened(url) as (store, session):
            async with await session.transaction() as transaction:
                await transaction.write(inserts(LOTS, [{"number": n} for n in range(77)]))
            return await numbers(store)

    assert asyncio.run(main()) == [*range(77)]
    assert copies == [True]


def test_a_row_on_a_loop_that_is_refused_is_known_and_nothing_stays(url: str) -> None:
    async def main() -> tuple[int | None, list[int]]:
        async with opened(url) as (store, session):
            with pytest.raises(WriteFailed) as failed:
                async with await session.transaction() as transaction:
                    await transaction.write(inserts(LOTS, [{"number": n} for n in range(100)]))
            return failed.value.index, await numbers(store)

    assert asyncio.run(main()) == (77, [])


@pytest.mark.requirement("N14")
@pytest.mark.parametrize("sent", [0, 1, 5_000, 19_999])
def test_a_copy_that_is_cancelled_leaves_nothing_and_is_followed(
    url: str, monkeypatch: pytest.MonkeyPatch, sent: int
) -> None:
    copy = copying._copy_awaiting
    rows = inserts(LOTS, [{"number": n, "name": LONG} for n in range(100, 20_100)])

    async def main() -> list[int]:
        async with opened(url) as (store, session):
            transaction = await session.transaction()
            writing = asyncio.ensure_future(transaction.write(rows))

            def cancelling(rows: Sequence[Any]) -> Iterator[Any]:
                for number, row in enumerate(rows):
                    if number == sent:
                        writing.cancel()
                    yield row

            async def cancelled(driver: Any, command: str, rows: Sequence[Any]) -> None:
                await copy(driver, command, cancelling(rows))

            monkeypatch.setattr(copying, "_copy_awaiting", cancelled)
            with pytest.raises((asyncio.CancelledError, TransientStoreError)):
                await writing
            await transaction.abort()

            async with asyncio.timeout(30):
                while True:
                    with suppress(TransientStoreError):
                        async with await session.transaction() as again:
                            await again.write(inserts(LOTS, [{"number": 1}]))
                        break
            return await numbers(store)

    assert asyncio.run(main()) == [1]
