"""An AsyncConsumer with lanes, on messages without Kafka, and what it has done."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import pairwise
from typing import Any
from zlib import crc32

from on_loop import Logs, place

from eoconsumer import AsyncConsumer, Message, RetryPolicy, TopicPartition
from eoconsumer.core.lanes import WHOLE
from eoconsumer.stores.memory import MemorySession
from eoconsumer.stores.memory_async import AsyncMemoryStore

LANES, KEYS = 4, 7
ORDERS = TopicPartition("orders", 0)
SLOW = b"key-0"
#: How many of the keys share no lane with the slow one.
OTHERS = [n for n in range(KEYS) if crc32(b"key-%d" % n) % LANES != crc32(SLOW) % LANES]


class Keep(AsyncConsumer):
    topics = "orders"
    group = "ledger"
    readers = 1
    lanes = LANES
    retry = RetryPolicy(attempts=2, minimum=0.0, maximum=0.0)

    async def handle(self, message: Message, session: MemorySession) -> None:
        await asyncio.sleep(0)
        session.append("kept", message)


class Blocked(Keep):
    """Waits at the first message of the slow key until it is let go; keeps a diary."""

    def __init__(self, *given: Any, **settings: Any) -> None:
        super().__init__(*given, **settings)
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()
        self.diary: list[str] = []
        self.handled: Counter[tuple[int, int]] = Counter()

    async def handle(self, message: Message, session: MemorySession) -> None:
        self.handled[place(message)] += 1
        if message.key == SLOW and not self.go_on.is_set():
            self.reached.set()
            await self.go_on.wait()
            self.diary.append("handled")
        await super().handle(message, session)

    async def on_revoked(self, partitions: list[TopicPartition]) -> None:
        self.diary.append(f"revoked {len(partitions)}")


def kept(store: AsyncMemoryStore) -> list[Any]:
    return list(store.tables["kept"])


def assert_each_once(store: AsyncMemoryStore, input_: Logs) -> None:
    """Each message was kept once, and those of each key in their order."""
    done = [place(message) for message in kept(store)]
    assert sorted(done) == [(key.partition, r.offset_number) for key in input_ for r in input_[key]]
    by_key: dict[Any, list[int]] = defaultdict(list)
    for message in kept(store):
        by_key[message.partition, message.key].append(message.offset)
    in_order = {key: all(a < b for a, b in pairwise(by_key[key])) for key in by_key if key[1]}
    assert all(in_order.values()), in_order


def owners(store: AsyncMemoryStore) -> set[str]:
    return {row.owner for row in store.memory.rows.values()}


def floors(store: AsyncMemoryStore) -> dict[int, int]:
    """Return the position of each partition."""
    rows = store.memory.rows.items()
    return {k.partition.partition: row.next_offset for k, row in rows if k.lane == WHOLE}


async def eventually(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not look():
            await asyncio.sleep(0.005)
