"""The store keeps the contract: the suite of eoconsumer says so."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from eoconsumer.core.letters import EVERY_LETTER
from eoconsumer.testing.conformance import StoreConformance

from .store import SQLiteStore


# --8<-- [start:suite]
class TestSQLiteStore(StoreConformance):
    ends_former_owner = False
    many_writers = False

    @pytest.fixture
    def store(self, tmp_path: Path) -> SQLiteStore:
        store = SQLiteStore(str(tmp_path / "shop.db"))
        store.setup()
        store.database().execute("CREATE TABLE ledger (text TEXT NOT NULL)")
        return store

    def write(self, store: SQLiteStore, session: sqlite3.Connection, text: str) -> None:
        session.execute("INSERT INTO ledger VALUES (?)", (text,))

    def writes(self, store: SQLiteStore, texts: Sequence[str]) -> list[Any]:
        return [("INSERT INTO ledger VALUES (?)", (text,)) for text in texts]

    def bad_write(self, store: SQLiteStore) -> Any:
        return ("INSERT INTO ledger VALUES (?)", (None,))

    def read(self, store: SQLiteStore) -> list[str]:
        return [text for (text,) in store.database().execute("SELECT text FROM ledger")]

    def letters(self, store: SQLiteStore) -> list[int]:
        return [letter.offset for letter in store.letters(EVERY_LETTER, None, 100)]

    def end_the_transaction(self, store: SQLiteStore, session: sqlite3.Connection) -> None:
        session.commit()


# --8<-- [end:suite]
