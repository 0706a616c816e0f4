"""A task that is cancelled in the middle of a call leaves nothing that could commit later."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import aclosing, suppress

import pytest
from sql_cases import ORDERS, step, url
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, text

from eoconsumer.core.positions import Start
from eoconsumer.core.verify import Marker
from eoconsumer.errors import CommitInDoubt, ConfigurationError, TransientStoreError
from eoconsumer.stores.sql import AsyncSQLStore, marks
from eoconsumer.stores.sql.session_async import AsyncSQLSession
from tests.conformance.sql_stores import ledger

__all__ = ["url"]

#: SQLite runs a statement to its end, whoever has stopped waiting for it.
SLOW = {
    "postgresql": "SELECT pg_sleep(30)",
    "mariadb": "SELECT sleep(30)",
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000000) "
    "SELECT count(*) FROM n",
}


async def cancelled(steps: Awaitable[object], seconds: float = 0.2) -> None:
    """Cancel ``steps`` after a while, wherever they are."""
    task = asyncio.ensure_future(steps)
    await asyncio.sleep(seconds)
    task.cancel()
    with suppress(asyncio.CancelledError, CommitInDoubt, TransientStoreError):
        await task


async def opened(url: str) -> tuple[AsyncSQLStore, AsyncSQLSession]:
    store = AsyncSQLStore.connect(url)
    return store, await store.open("ledger", "first")


async def texts(store: AsyncSQLStore) -> list[str]:
    async with store.engine.connect() as connection:
        return list(await connection.scalars(text("SELECT text FROM texts")))


@pytest.mark.requirement("N14")
def test_a_handler_that_is_cancelled_in_a_statement_is_rolled_back_and_followed(url: str) -> None:
    async def main() -> list[str]:
        store, session = await opened(url)
        rows = (await session.claim([ORDERS], {ORDERS: Start(0, 1)})).positions
        transaction = await session.transaction()
        await transaction.session.execute(insert(ledger), {"text": "half"})
        await cancelled(transaction.session.execute(text(SLOW[store.engine.dialect.name])))
        await transaction.abort()

        async def batch() -> None:
            async with await session.transaction() as again:
                await again.session.execute(insert(ledger), {"text": "sold"})
                await again.advance([step(rows)])

        async with asyncio.timeout(30):
            while True:
                with suppress(TransientStoreError):
                    await batch()
                    break
        found = await texts(store)
        await session.close()
        await store.close()
        return found

    assert asyncio.run(main()) == ["sold"]


@pytest.mark.requirement("N14", "S3-19")
@pytest.mark.parametrize("turns", range(4))
def test_after_a_commit_that_was_cancelled_the_position_tells(url: str, turns: int) -> None:
    async def main() -> tuple[list[str], int]:
        store, session = await opened(url)
        rows = (await session.claim([ORDERS], {ORDERS: Start(0, 1)})).positions
        transaction = await session.transaction()
        await transaction.session.execute(insert(ledger), {"text": "sold"})
        await transaction.advance([step(rows)])
        task = asyncio.ensure_future(transaction.commit())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError, CommitInDoubt):
            await task
        await transaction.abort()

        async with asyncio.timeout(20):
            position = (await session.positions([ORDERS]))[ORDERS].next_offset
            found = await texts(store)
        await session.close()
        await store.close()
        return found, position

    found, position = asyncio.run(main())
    assert found == ["sold"] * position


@pytest.mark.requirement("N8", "N14")
def test_the_marks_of_users_rows_are_read_page_by_page_and_may_be_left(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "PAGE", 3)
    topic, part, place = Column("topic", String(50)), Column("part", Integer), Column("n", Integer)
    marked = Table("marked_on_a_loop", MetaData(), topic, part, place)
    marker = Marker(marked.name, "topic", "part", "n")

    async def main() -> list[int]:
        store = AsyncSQLStore.connect(url)
        async with store.engine.begin() as connection:
            await connection.run_sync(marked.drop, checkfirst=True)
            await connection.run_sync(marked.create)
            rows = [{"topic": "orders", "part": 0, "n": number} for number in range(10)]
            rows += [{"topic": "ORDERS", "part": 0, "n": 5}]  # the same, to some collations
            await connection.execute(insert(marked), rows)
        found = [mark.offset async for mark in store.marks(marker, ORDERS, 0, 10)]
        async with aclosing(store.marks(marker, ORDERS, 0, 10)) as left:
            found.append((await anext(left)).offset)
        async with asyncio.timeout(30):
            await store.close()
        return found

    assert asyncio.run(main()) == [*range(10), 0]


def test_an_engine_that_blocks_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="blocks the event loop"):
        AsyncSQLStore.connect("mariadb+pymysql://localhost/shop")
