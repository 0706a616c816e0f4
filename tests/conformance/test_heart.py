"""A store for asyncio that has the heart of the contract alone inherits the rest of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from eoconsumer.core.capabilities import Capability
from eoconsumer.core.positions import Claims, Move, Position, Start
from eoconsumer.message import TopicPartition
from eoconsumer.protocols import AsyncStore, AsyncStoreSession
from eoconsumer.stores.memory import MemorySession
from eoconsumer.stores.memory_async import (
    AsyncMemoryStore,
    AsyncMemoryStoreSession,
    AsyncMemoryTransaction,
)
from eoconsumer.testing.conformance import AsyncStoreConformance


class Heart(AsyncStore[MemorySession]):
    capabilities = frozenset({Capability.WRITES})

    def __init__(self) -> None:
        self.memory = AsyncMemoryStore()

    async def setup(self) -> None: ...

    async def open(self, group: str, owner: str) -> HeartSession:
        return HeartSession(await self.memory.open(group, owner))


class HeartSession(AsyncStoreSession[MemorySession]):
    def __init__(self, memory: AsyncMemoryStoreSession) -> None:
        self.memory = memory

    @property
    def session(self) -> MemorySession:
        return self.memory.session

    async def claim(
        self, partitions: Sequence[TopicPartition], starts: Mapping[TopicPartition, Start]
    ) -> Claims:
        return await self.memory.claim(partitions, starts)

    async def all_positions(self) -> dict[TopicPartition, Position]:
        return await self.memory.all_positions()

    async def release(self, moves: Sequence[Move]) -> None:
        await self.memory.release(moves)

    async def transaction(self) -> AsyncMemoryTransaction:
        return await self.memory.transaction()

    async def translate(self, error: BaseException) -> BaseException:
        return error

    async def close(self) -> None: ...


class TestHeart(AsyncStoreConformance):
    @pytest.fixture
    def async_store(self) -> Heart:
        return Heart()

    async def write_async(self, store: Heart, session: MemorySession, text: str) -> None:  # noqa: ARG002
        session.append("ledger", text)

    async def read_async(self, store: Heart) -> Sequence[str]:
        return [str(value) for value in store.memory.tables["ledger"]]

    def writes(self, store: object, texts: Sequence[str]) -> Sequence[Any]:  # noqa: ARG002
        return [("ledger", text) for text in texts]

    def bad_write(self, store: object) -> Any:  # noqa: ARG002
        return None
