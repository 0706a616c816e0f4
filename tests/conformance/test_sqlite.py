"""The SQL stores keep the contract on SQLite, as far as one writer at a time can."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eoconsumer.testing.conformance.on_a_loop import Loop
from tests.conformance.sql_stores import (
    AsyncSQLConformance,
    FreshAsyncStore,
    FreshStore,
    SQLConformance,
    fresh_async_store,
    fresh_store,
)


class TestSQLite(SQLConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[FreshStore]:
        with fresh_store(f"sqlite:///{tmp_path}/shop.db") as store:
            yield store


class TestAsyncSQLite(AsyncSQLConformance):
    @pytest.fixture
    def async_store(self, tmp_path: Path, loop: Loop) -> Iterator[FreshAsyncStore]:
        with fresh_async_store(f"sqlite:///{tmp_path}/shop.db", loop) as store:
            yield store
