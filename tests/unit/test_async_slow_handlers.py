"""A handler on an event loop that takes longer than a transaction may."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from on_loop import SERVERS, OnLoop, logs, place

from eoconsumer import AsyncConsumer, HandlerFailed, RetryPolicy
from eoconsumer.stores.memory import MemoryStore
from eoconsumer.stores.memory_async import AsyncMemoryStore

AT_ONCE = RetryPolicy(attempts=2, minimum=0.0, maximum=0.0)


@pytest.mark.requirement("N14")
@pytest.mark.parametrize("form", ["handle", "batch"])
def test_one_message_that_takes_too_long_fails_with_the_reason(form: Any) -> None:
    memory = MemoryStore()
    memory.transaction_seconds = 0.3
    store = AsyncMemoryStore(memory)
    consumer = AsyncConsumer(SERVERS, store, group="ledger", readers=1, retry=AT_ONCE)

    async def slow(given: Any, session: Any) -> None:
        for message in given if form == "batch" else [given]:
            session.append("kept", place(message))
            await asyncio.sleep(0.5 * (message.offset == 3))

    consumer.on("orders", form=form)(slow)
    with pytest.raises(HandlerFailed, match=r"\[0\]@3 .*longer for .* than a transaction"):
        asyncio.run(OnLoop(consumer, logs(1, 5)).all())
    assert store.tables["kept"] == [(0, 0), (0, 1), (0, 2)]
