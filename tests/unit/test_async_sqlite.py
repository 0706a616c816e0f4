"""An AsyncConsumer on a database that needs no server, cancelled at its awaits."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from on_loop import SERVERS, Cancelling, OnLoop, logs
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from eoconsumer import AsyncConsumer, Message
from eoconsumer.stores.sql import AsyncSQLStore

EVERYTHING = [(partition, offset) for partition in range(2) for offset in range(5)]
#: A run waits about a hundred times; these are spread over most of it.
WAITS = range(1, 75, 6)


class Ledger(AsyncConsumer):
    topics = "orders"
    group = "ledger"
    readers = 1
    batch_size = 3

    async def handle(self, message: Message, session: AsyncSession) -> None:
        place = {"p": message.partition, "o": message.offset}
        await session.execute(text("insert into ledger values (:p, :o)"), place)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("create table ledger (p integer, o integer)")
        database.commit()
    return path


def ask(file: Path, query: str) -> list[tuple[int, int]]:
    with closing(sqlite3.connect(file)) as database:
        return database.execute(query).fetchall()


async def consume(file: Path, cancelling: Cancelling | None = None) -> None:
    """Consume everything, or until ``cancelling`` does what it is there for."""
    store = AsyncSQLStore.connect(f"sqlite+aiosqlite:///{file}")
    create_task = asyncio.create_task

    def counting(steps: Any, **how: Any) -> asyncio.Task[Any]:
        if cancelling is not None and getattr(steps, "__name__", "") == "_read":
            return cancelling.task(steps)
        return create_task(steps, **how)

    await store.setup()
    try:
        with patch("eoconsumer.runner_async.runner.asyncio.create_task", counting):
            await OnLoop(Ledger(SERVERS, store), logs(2, 5)).all()
    finally:
        await store.close()


@pytest.mark.requirement("N1", "N14")
@pytest.mark.parametrize("number", WAITS)
def test_cancelled_anywhere_it_leaves_nothing_half_done_and_the_next_run_does_the_rest(
    file: Path, number: int
) -> None:
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(consume(file, Cancelling(number)))

    stored = ask(file, "select partition_number, next_offset from eoconsumer_offsets")
    done = [(p, offset) for p, upto in sorted(stored) for offset in range(upto)]
    assert ask(file, "select p, o from ledger order by p, o") == done

    asyncio.run(consume(file))

    assert ask(file, "select p, o from ledger order by p, o") == EVERYTHING
