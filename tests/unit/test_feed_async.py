"""``feed_async``: a consumer of asyncio is given messages without Kafka."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from eoconsumer import AsyncConsumer, Message, Record
from eoconsumer.errors import ConfigurationError, HandlerFailed
from eoconsumer.stores.memory import MemorySession
from eoconsumer.stores.memory_async import AsyncMemoryStore
from eoconsumer.testing.feed import Fed, feed_async


class StockMove(BaseModel):
    quantity: int


class Ledger(AsyncConsumer[MemorySession]):
    """Refuses negative quantities."""

    store: AsyncMemoryStore
    topics = "moves"
    group = "ledger"
    value_type = StockMove

    async def handle(self, message: Message[StockMove], session: MemorySession) -> None:
        session.append("ledger", (message.offset, message.value.quantity))
        await asyncio.sleep(0)
        if message.value.quantity < 0:
            raise ValueError("negative")


def make(kind: type[Any] = Ledger, **settings: Any) -> Any:
    return kind("unused:9092", AsyncMemoryStore(), **settings)


def moves(*quantities: int) -> list[StockMove]:
    return [StockMove(quantity=quantity) for quantity in quantities]


def fed(consumer: Any, *messages: object) -> Fed:
    return asyncio.run(feed_async(consumer, messages))


def test_messages_are_handled_on_the_loop_and_committed_in_order() -> None:
    ledger = make()

    first, second = fed(ledger, *moves(3, 4)), fed(ledger, *moves(5))

    assert [message.value for message in first.applied] == moves(3, 4)
    assert [message.offset for message in second.applied] == [2]
    assert ledger.store.tables["ledger"] == [(0, 3), (1, 4), (2, 5)]


@pytest.mark.requirement("S3-06")
def test_a_batch_whose_handler_fails_is_rolled_back_and_what_stands_before_it_commits() -> None:
    ledger = make()

    with pytest.raises(HandlerFailed):
        fed(ledger, *moves(3, -1, 5))

    assert ledger.store.tables["ledger"] == [(0, 3)]


def test_a_buried_message_is_told_with_its_error() -> None:
    result = fed(make(on_poison="bury"), *moves(3, -1, 5))

    assert [(f.message.offset, str(f.error)) for f in result.buried] == [(1, "negative")]
    assert [message.offset for message in result.applied] == [0, 2]


def test_a_decoder_may_be_awaited_and_a_message_keeps_the_value_that_it_was_given() -> None:
    class Decoding(Ledger):
        value_type = None

        async def decode(self, message: Message[bytes]) -> StockMove:
            await asyncio.sleep(0)
            return StockMove(quantity=int(message.value))

    made = StockMove(quantity=4)

    result = fed(make(Decoding), b"3", Message(Record("moves", 0, 7), made))

    assert [message.value for message in result.applied] == moves(3, 4)
    assert result.applied[1].value is made


def test_what_is_wrong_is_refused_as_with_threads() -> None:
    with pytest.raises(ConfigurationError, match="no handler for the topic 'orders'"):
        fed(make(), Record("orders", 0, 1))


def test_a_feed_that_is_cancelled_rolls_back() -> None:
    class Waiting(Ledger):
        async def handle(self, message: Message[StockMove], session: MemorySession) -> None:
            session.append("ledger", message.offset)
            await asyncio.Event().wait()

    ledger = make(Waiting)

    async def cancelled() -> None:
        async with asyncio.timeout(0.2):
            await feed_async(ledger, moves(1))

    with pytest.raises(TimeoutError):
        asyncio.run(cancelled())

    assert ledger.store.tables["ledger"] == []
