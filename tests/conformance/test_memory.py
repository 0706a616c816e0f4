"""The in-memory store keeps the contract."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from eoconsumer.stores.memory import MemorySession, MemoryStore
from eoconsumer.testing.conformance import StoreConformance


class TestMemoryStore(StoreConformance):
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
