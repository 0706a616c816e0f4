"""The SQL store keeps the contract on SQLite, as far as one writer at a time can."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.sql_stores import FreshStore, SQLConformance, fresh_store


class TestSQLite(SQLConformance):
    ends_former_owner = False
    many_writers = False

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[FreshStore]:
        with fresh_store(f"sqlite:///{tmp_path}/shop.db") as store:
            yield store
