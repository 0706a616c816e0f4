"""Lanes on an event loop with SQL databases: each has a connection, and all keep the promises."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from sql_cases import SERVERS, url
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from eoconsumer import AsyncConsumer, Message
from eoconsumer.stores.sql import AsyncSQLStore
from tests.conformance.sql_stores import ledger
from tests.unit.on_loop import OnLoop, logs

__all__ = ["url"]

pytestmark = pytest.mark.requirement("N2", "N14")

LANES, KEYS, MESSAGES = 4, 7, 42
NO_KAFKA = "localhost:1"


class Keep(AsyncConsumer):
    """Writes the key and the offset of each message."""

    topics = "orders"
    group = "ledger"
    readers = 1
    lanes = LANES
    batch_size = 5

    async def handle(self, message: Message, session: AsyncSession) -> None:
        text = f"{(message.key or b'').decode()} {message.offset:03}"
        await session.execute(insert(ledger), {"text": text})


async def kept(store: AsyncSQLStore) -> list[str]:
    """Return what was kept, in the order in which it was written."""
    async with store.engine.connect() as connection:
        return list(await connection.scalars(select(ledger.c.text).order_by(ledger.c.id)))


async def assert_each_once(store: AsyncSQLStore) -> None:
    done = await kept(store)
    assert sorted(done) == sorted(f"key-{n % KEYS} {n:03}" for n in range(MESSAGES))
    for number in range(KEYS):
        own = [text for text in done if text.startswith(f"key-{number} ")]
        assert all(a < b for a, b in pairwise(own))


def test_cancelled_under_way_its_lanes_leave_nothing_half_done_and_others_do_the_rest(
    url: str,
) -> None:
    async def main() -> None:
        store, input_ = AsyncSQLStore.connect(url), logs(1, MESSAGES, KEYS)
        await store.setup()
        under_way = asyncio.Event()

        def enough(seen: Any) -> bool:
            if seen.committed >= MESSAGES // 3:
                under_way.set()
            return False

        run = asyncio.create_task(OnLoop(Keep(NO_KAFKA, store), input_).run(enough))
        await under_way.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert MESSAGES // 3 <= len(await kept(store)) <= MESSAGES
        for lanes in (3, 0):
            await OnLoop(Keep(NO_KAFKA, store, lanes=lanes), input_).all()
            await assert_each_once(store)
        await store.close()

    asyncio.run(main())


@pytest.mark.parametrize("url", SERVERS, indirect=True)
def test_where_transactions_write_side_by_side_so_do_lanes(url: str) -> None:
    async def main() -> None:
        together = asyncio.Barrier(LANES)

        class Together(Keep):
            async def handle(self, message: Message, session: AsyncSession) -> None:
                await super().handle(message, session)
                async with asyncio.timeout(20):
                    await together.wait()  # with what it wrote not committed

        store = AsyncSQLStore.connect(url)
        await store.setup()
        await OnLoop(Together(NO_KAFKA, store), logs(1, LANES)).all()
        assert len(await kept(store)) == LANES
        await store.close()

    asyncio.run(main())
