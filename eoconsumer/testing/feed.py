"""Handlers under test without Kafka: ``feed`` gives a consumer messages, and tells what happened.

::

    def test_a_move_changes_the_stock():
        store = MongoStore(mongomock.MongoClient(), "shop")
        fed = feed(Ledger("unused:9092", store), [StockMove(item="tea", quantity=3)])
        assert len(fed.applied) == 1
        assert store.database["stock"].find_one() == {"_id": "tea", "quantity": 3}

Everything but Kafka is the library's own: the consumer's decoder and handler, its mode, its
batches, its tries and its ``on_poison``, with one transaction of its store for each batch.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

from eoconsumer.consumer import AsyncConsumer, Consumer
from eoconsumer.errors import ConfigurationError
from eoconsumer.protocols import Store
from eoconsumer.runner.flag import Flag
from eoconsumer.runner.reader import Reader
from eoconsumer.runner_async.source import AsyncSourceReader
from eoconsumer.runner_async.waiting import LoopFlag
from eoconsumer.stores.mongo import MongoStore
from eoconsumer.stores.mongo.concerns import is_mock
from eoconsumer.testing.feeding import Failed, Fed, Feeding

__all__ = ["Failed", "Fed", "feed", "feed_async"]


def feed(
    consumer: Consumer, messages: Iterable[object], *, topic: str = "", partition: int = 0
) -> Fed:
    """Let ``consumer`` consume ``messages``, and return what became of them.

    Each is a value, a ``Record`` or a ``Message``. A value becomes the payload of a message in
    ``topic`` (by default the consumer's only one) and ``partition``: bytes and None as they are,
    text in UTF-8, all else as JSON (pydantic models, dicts, dataclasses); its offset is the next
    one. A ``Record`` goes where it says. Both are decoded as in production; a ``Message`` made by
    hand keeps its value.

    Runs on the calling thread, without lanes, and calls the store's ``setup``. It does not wait
    between the tries of a message, and starts at the first one whatever ``start`` says; positions
    are kept in the store, so that a later call goes on behind this one. A ``MongoStore`` on a
    mongomock client is accepted, with an imitation of transactions: see
    ``docs/how-to/test-your-handler.md``.

    Raises what ``run`` would raise: ``HandlerFailed`` and ``DecodeError`` where ``on_poison`` is
    "stop", ``HandlerMisuse``, ``StoreError``; ``ConfigurationError`` for a topic without a handler
    and for offsets that do not grow.
    """
    if not isinstance(consumer, Consumer):
        raise ConfigurationError(
            f"{type(consumer).__name__} is none for threads; nothing was handled. With an "
            "AsyncConsumer it is: await feed_async(...)."
        )
    store = _served(consumer.store)
    store.setup()
    feeding = Feeding(consumer.config, consumer._user(), consumer.events)
    group, owner = consumer.config.group, _owner()
    with closing(store.open(group, owner)) as session:
        feeding.take(messages, topic, partition, session.all_positions())
    if feeding.logs:
        stopping = Flag()
        Reader(
            feeding.flow(),
            feeding.source(stopping),
            store.open(group, owner),
            feeding.user,
            feeding.recorder,
            stopping,
            store.transaction_seconds,
        ).run()
    return feeding.recorder.fed


async def feed_async(
    consumer: AsyncConsumer, messages: Iterable[object], *, topic: str = "", partition: int = 0
) -> Fed:
    """Do what ``feed`` does with a consumer of asyncio, on the loop that is running."""
    if not isinstance(consumer, AsyncConsumer):
        raise ConfigurationError(
            f"{type(consumer).__name__} is none of asyncio; nothing was handled. Use feed(...)."
        )
    store = consumer.store
    await store.setup()
    feeding = Feeding(consumer.config, consumer._user(), consumer.events)
    group, owner = consumer.config.group, _owner()
    session = await store.open(group, owner)
    try:
        feeding.take(messages, topic, partition, await session.all_positions())
    finally:
        await session.close()
    if feeding.logs:
        stopping = LoopFlag()
        with ThreadPoolExecutor(1, "eoconsumer-feed") as thread:
            await AsyncSourceReader(
                feeding.flow(),
                feeding.source(stopping),
                await store.open(group, owner),
                feeding.user,
                feeding.recorder,
                stopping,
                store.transaction_seconds,
                thread,
            ).run()
    return feeding.recorder.fed


def _owner() -> str:
    return f"feed:{os.getpid()}:{uuid.uuid4().hex}"


def _served(store: Store[Any]) -> Store[Any]:
    """Return ``store``, or what stands for it where it has no transactions of its own."""
    if isinstance(store, MongoStore) and is_mock(store.client):
        from eoconsumer.testing.mocked_mongo import mocked  # mongomock is an extra

        return mocked(store)
    return store
