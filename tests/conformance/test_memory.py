"""The in-memory stores keep the contract."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest

from eoconsumer.errors import CommitInDoubt
from eoconsumer.stores.memory import MemorySession, MemoryStore, MemoryTransaction
from eoconsumer.stores.memory_async import AsyncMemoryStore
from eoconsumer.testing.conformance import AsyncStoreConformance, StoreConformance


class Writes:
    """What handlers return for these stores, which take everything."""

    def writes(self, store: object, texts: Sequence[str]) -> Sequence[Any]:  # noqa: ARG002
        return [("ledger", text) for text in texts]

    def bad_write(self, store: object) -> Any:  # noqa: ARG002
        return None


class TestMemoryStore(Writes, StoreConformance):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

    # The in-memory session knows its store already.
    def write(self, store: MemoryStore, session: MemorySession, text: str) -> None:  # noqa: ARG002
        session.append("ledger", text)

    def read(self, store: MemoryStore) -> Sequence[str]:
        return [str(value) for value in store.tables["ledger"]]

    def letters(self, store: MemoryStore) -> Sequence[int]:
        return [letter.message.offset for letter in store.dead_letters]

    @contextmanager
    def commit_answers_lost(self, store: MemoryStore) -> Iterator[None]:  # noqa: ARG002
        commit = MemoryTransaction.commit

        def lost(transaction: MemoryTransaction) -> None:
            commit(transaction)
            raise CommitInDoubt

        with patch.object(MemoryTransaction, "commit", lost):
            yield


class TestAsyncMemoryStore(Writes, AsyncStoreConformance):
    @pytest.fixture
    def async_store(self) -> AsyncMemoryStore:
        return AsyncMemoryStore()

    async def write_async(
        self,
        store: AsyncMemoryStore,  # noqa: ARG002 - as above
        session: MemorySession,
        text: str,
    ) -> None:
        session.append("ledger", text)

    async def read_async(self, store: AsyncMemoryStore) -> Sequence[str]:
        return [str(value) for value in store.tables["ledger"]]

    async def letters_async(self, store: AsyncMemoryStore) -> Sequence[int]:
        return [letter.message.offset for letter in store.dead_letters]
