"""The example of a store of one's own keeps the contract, and is found by its URL."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from custom_store.store import SQLiteStore
from custom_store.test_store import TestSQLiteStore as TestSQLiteStore  # the suite

from eoconsumer import Consumer, Message
from eoconsumer.errors import ConfigurationError, HandlerFailed
from eoconsumer.stores import open_async_store, open_store
from eoconsumer.stores.memory_async import AsyncMemoryStore
from eoconsumer.testing.feed import feed


class Ledger(Consumer):
    """Refuses 0."""

    topics = "moves"
    group = "ledger"

    def handle(self, message: Message[bytes], session: sqlite3.Connection) -> None:
        session.execute("INSERT INTO ledger VALUES (?)", (message.value.decode(),))
        _ = 1 // int(message.value)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a distribution that has the store as an entry point."""
    info = tmp_path / "installed" / "custom_store-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: custom-store\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[eoconsumer.stores]\ncustom = custom_store.store:SQLiteStore\n"
        "[eoconsumer.async_stores]\n"
        "custom = eoconsumer.stores.memory_async:AsyncMemoryStore\n"
        "needy = something_else_entirely:Store\n"
    )
    monkeypatch.syspath_prepend(info.parent)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("scheme", ["custom", "CUSTOM", "custom+wal"])
def test_a_store_of_another_distribution_is_opened_by_its_scheme(
    tmp_path: Path, scheme: str
) -> None:
    store: Any = open_store(f"{scheme}:///{tmp_path}/shop.db")

    assert type(store) is SQLiteStore
    store.setup()
    assert (tmp_path / "shop.db").exists()


@pytest.mark.usefixtures("installed")
def test_a_store_of_asyncio_is_looked_for_among_its_own_kind() -> None:
    assert type(open_async_store("custom+wal://shop")) is AsyncMemoryStore
    with pytest.raises(ConfigurationError, match="needs 'something_else_entirely'"):
        open_async_store("needy://shop")


@pytest.mark.usefixtures("installed")
def test_a_scheme_that_nobody_has_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ConfigurationError, match=r"Known are: .*custom.*memory"):
        open_store("unknown://host/shop")


def test_a_consumer_keeps_its_rows_and_its_position_in_it(tmp_path: Path) -> None:
    store = SQLiteStore(str(tmp_path / "shop.db"))
    store.setup()
    store.database().execute("CREATE TABLE ledger (text TEXT)")

    fed = feed(Ledger("unused:9092", store, on_poison="bury"), [b"1", b"0", b"2"])
    with pytest.raises(HandlerFailed):
        feed(Ledger("unused:9092", store), [b"3", b"0"])

    assert [message.value for message in fed.applied] == [b"1", b"2"]
    assert [failed.message.offset for failed in fed.buried] == [1]
    rows = store.database().execute("SELECT text FROM ledger").fetchall()
    assert rows == [("1",), ("2",), ("3",)]
    (position,) = store.open("ledger", "looker").all_positions().values()
    assert position.next_offset == 4
