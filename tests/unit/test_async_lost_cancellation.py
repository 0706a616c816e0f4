"""A cancellation that gets lost in a driver or in a handler is found behind it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from on_loop import SERVERS, OnLoop, logs, place

from eoconsumer import AsyncConsumer, Message
from eoconsumer.runner.watch import Watch
from eoconsumer.runner_async import AsyncRunner
from eoconsumer.runner_async.waiting import LoopFlag
from eoconsumer.stores.memory import MemorySession
from eoconsumer.stores.memory_async import AsyncMemoryStore

LONG = 60.0  # seconds


class Losing:
    """Waits, and loses the cancellation that ends it, as ``wait_for`` of Python 3.11 may."""

    def __init__(self) -> None:
        self.waiting = asyncio.Event()

    async def wait(self) -> None:
        self.waiting.set()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(LONG)

    async def cancels(self, task: asyncio.Task[object]) -> None:
        """Cancel ``task`` while it waits here; see that it ends as cancelled, and soon."""
        await self.waiting.wait()
        task.cancel()
        _, late = await asyncio.wait([task], timeout=LONG / 6)
        assert not late
        assert task.cancelled()


class Ledger(AsyncConsumer):
    topics, group, readers = "orders", "ledger", 1
    losing: Losing

    async def handle(self, message: Message, session: MemorySession) -> None:
        session.append("ledger", place(message))
        if place(message) == (0, 2):
            await self.losing.wait()


@pytest.mark.parametrize("lanes", [0, 2])
def test_a_cancellation_that_a_handler_swallows_rolls_back_and_ends_the_run(lanes: int) -> None:
    store = AsyncMemoryStore()

    async def main() -> None:
        ledger = Ledger(SERVERS, store, lanes=lanes)
        ledger.losing = Losing()
        running = OnLoop(ledger, logs(1, 5, keys=2))
        await ledger.losing.cancels(asyncio.create_task(running.run(lambda _: False)))

    asyncio.run(main())
    assert (0, 2) not in store.tables["ledger"]


def test_a_cancellation_that_the_store_swallows_while_it_is_set_up_ends_the_start() -> None:
    class Deaf(AsyncMemoryStore):
        losing: Losing

        async def setup(self) -> None:
            await self.losing.wait()

    async def main() -> None:
        store = Deaf()
        store.losing = Losing()
        ledger = Ledger(SERVERS, store)
        watch, changed = Watch(ledger.events), LoopFlag()
        runner = AsyncRunner(
            ledger.config, store, OnLoop(ledger, {}).source, ledger._user(), watch, changed
        )
        await store.losing.cancels(asyncio.create_task(runner.set_up()))

    asyncio.run(main())


def test_a_cancellation_that_was_heeded_before_the_run_does_not_end_it() -> None:
    store = AsyncMemoryStore()

    async def main() -> None:
        ledger = Ledger(SERVERS, store)
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            await OnLoop(ledger, logs(1, 2)).all()

    async def cancelled() -> None:
        task = asyncio.create_task(main())
        await asyncio.sleep(0)
        task.cancel()
        await task

    asyncio.run(cancelled())
    assert store.tables["ledger"] == [(0, 0), (0, 1)]
