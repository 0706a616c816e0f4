"""What the coroutines of a user get wrong, and what an AsyncConsumer makes of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from on_loop import SERVERS, OnLoop, logs, place

from eoconsumer import AsyncConsumer, HandlerMisuse, Message, RetryPolicy
from eoconsumer.stores.memory import MemorySession
from eoconsumer.stores.memory_async import AsyncMemoryStore

AT_ONCE = RetryPolicy(attempts=2, minimum=0.0, maximum=0.0)


class Ledger(AsyncConsumer):
    topics = "orders"
    group = "ledger"
    readers = 1

    async def handle(self, message: Message, session: MemorySession) -> None:
        session.append("ledger", place(message))


async def of_what_was_cancelled(*_: Any) -> None:
    """End as a handler does that awaits a task which somebody else has cancelled."""
    other = asyncio.create_task(asyncio.sleep(60))
    other.cancel()
    await other


@pytest.mark.parametrize("name", ["handle", "handle_batch", "writes", "decode"])
@pytest.mark.parametrize("lanes", [0, 2])
def test_a_cancellation_that_comes_from_a_handler_is_its_failure_and_not_the_end(
    name: str, lanes: int
) -> None:
    """Or ``run`` ended as if its task had been cancelled: in a TaskGroup, without a word."""

    async def look(_: Any, message: Message, __: Any) -> None:
        assert message.value is not None

    members = {name: staticmethod(of_what_was_cancelled), "topics": "orders", "retry": AT_ONCE}
    if name == "decode":
        members["handle"] = look
    kind = type("Mistaken", (AsyncConsumer,), members)
    store = AsyncMemoryStore()
    consumer = kind(SERVERS, store, group="g", readers=1, lanes=lanes, on_poison="bury")

    asyncio.run(OnLoop(consumer, logs(1, 2, keys=2)).all())

    assert sorted(letter.message.offset for letter in store.dead_letters) == [0, 1]
    assert all("CancelledError" in letter.failure.traceback for letter in store.dead_letters)


@pytest.mark.parametrize("name", ["after_commit", "on_assigned", "on_revoked"])
def test_a_cancellation_that_comes_from_a_hook_is_logged_and_no_more(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def hook(*_: Any) -> None:
        await of_what_was_cancelled()

    kind = type("Mistaken", (Ledger,), {name: hook})
    store = AsyncMemoryStore()

    asyncio.run(OnLoop(kind(SERVERS, store), logs(1, 2)).all())

    assert store.tables["ledger"] == [(0, 0), (0, 1)]
    assert f"{name} failed" in caplog.text


@pytest.mark.parametrize("name", ["handle", "handle_batch"])
def test_work_that_a_handler_returns_and_that_nobody_awaits_is_a_misuse(name: str) -> None:
    async def forgets(*_: Any) -> Any:
        return asyncio.get_running_loop().create_future()

    kind = type("Mistaken", (AsyncConsumer,), {"topics": "orders", "group": "g", name: forgets})
    store = AsyncMemoryStore()

    with pytest.raises(HandlerMisuse, match="returned a Future"):
        asyncio.run(OnLoop(kind(SERVERS, store, readers=1), logs(1, 1)).all())

    assert [row.next_offset for row in store.memory.rows.values()] == [0]
