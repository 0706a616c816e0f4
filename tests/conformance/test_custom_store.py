"""The example of a store of one's own keeps the contract, and is found by its URL."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from custom_store.store import SQLiteStore
from typer.testing import CliRunner

from eoconsumer import Consumer, Message, Record
from eoconsumer.cli.app import app
from eoconsumer.errors import ConfigurationError, HandlerFailed
from eoconsumer.stores import open_async_store, open_store
from eoconsumer.stores.memory_async import AsyncMemoryStore
from eoconsumer.testing.conformance import StoreConformance
from eoconsumer.testing.feed import feed

ROOT = Path(__file__).parents[2]


class TestSQLiteStore(StoreConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> SQLiteStore:
        store = SQLiteStore(str(tmp_path / "shop.db"))
        store.setup()
        store.database().execute("CREATE TABLE ledger (text TEXT NOT NULL)")
        return store

    def write(self, store: SQLiteStore, session: sqlite3.Connection, text: str) -> None:
        session.execute("INSERT INTO ledger VALUES (?)", (text,))

    def read(self, store: SQLiteStore) -> list[str]:
        return [text for (text,) in store.database().execute("SELECT text FROM ledger")]

    def writes(self, store: SQLiteStore, texts: Sequence[str]) -> list[Any]:
        return [("INSERT INTO ledger VALUES (?)", (text,)) for text in texts]

    def bad_write(self, store: SQLiteStore) -> Any:
        return ("INSERT INTO ledger VALUES (?)", (None,))

    def end_the_transaction(self, store: SQLiteStore, session: sqlite3.Connection) -> None:
        session.commit()


#: Commits two messages, and dies when the third is written and not committed.
KILLED = """
import os, signal, sys
from custom_store.store import SQLiteStore
from eoconsumer import Consumer
from eoconsumer.testing.feed import feed

store = SQLiteStore(sys.argv[1])
consumer = Consumer("unused:9092", store, group="ledger", batch_size=2)

@consumer.on("moves")
def moved(message, session):
    session.execute("INSERT INTO ledger VALUES (?)", (message.value.decode(),))
    if message.value == b"4":
        os.kill(os.getpid(), signal.SIGKILL)

feed(consumer, [b"1", b"2", b"3", b"4"])
"""


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


def test_a_url_that_names_no_file_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="names no file"):
        SQLiteStore.connect("custom://shop.db")


@pytest.mark.usefixtures("installed")
def test_a_store_of_asyncio_is_looked_for_among_its_own_kind() -> None:
    assert type(open_async_store("custom+wal://shop")) is AsyncMemoryStore
    with pytest.raises(ConfigurationError, match="needs 'something_else_entirely'"):
        open_async_store("needy://shop")


@pytest.mark.usefixtures("installed")
def test_a_scheme_that_nobody_has_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ConfigurationError, match=r"Known are: .*custom.*memory"):
        open_store("unknown://host/shop")


@pytest.fixture
def store(tmp_path: Path) -> SQLiteStore:
    store = SQLiteStore(str(tmp_path / "shop.db"))
    store.setup()
    store.database().execute("CREATE TABLE ledger (text TEXT)")
    return store


def test_a_consumer_keeps_its_rows_and_its_position_in_it(store: SQLiteStore) -> None:
    fed = feed(Ledger("unused:9092", store, on_poison="skip"), [b"1", b"0", b"2"])
    with pytest.raises(HandlerFailed):
        feed(Ledger("unused:9092", store), [b"3", b"0"])

    assert [message.value for message in fed.applied] == [b"1", b"2"]
    assert [failed.message.offset for failed in fed.skipped] == [1]
    rows = store.database().execute("SELECT text FROM ledger").fetchall()
    assert rows == [("1",), ("2",), ("3",)]
    (position,) = store.open("ledger", "looker").all_positions().values()
    assert position.next_offset == 4


def test_a_consumer_without_transactions_keeps_its_position_in_it(store: SQLiteStore) -> None:
    feed(Ledger("unused:9092", store, mode="at_least_once"), [b"1", b"2"])

    (position,) = store.open("ledger", "looker").all_positions().values()
    assert position.next_offset == 2


def test_it_takes_writes_that_handlers_return(store: SQLiteStore) -> None:
    consumer = Consumer("unused:9092", store, group="ledger")

    @consumer.on("moves", form="writes")
    def moved(message: Message[bytes]) -> Iterator[tuple[str, tuple[str]]]:
        yield "INSERT INTO ledger VALUES (?)", (message.value.decode(),)

    feed(consumer, [b"1", b"2"])

    rows = store.database().execute("SELECT text FROM ledger").fetchall()
    assert rows == [("1",), ("2",)]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("command", ["list", "show --offset 1", "drop --group ledger"])
def test_dead_letters_are_not_looked_for_where_none_are_kept(tmp_path: Path, command: str) -> None:
    url = f"custom:///{tmp_path}/shop.db"

    done = CliRunner().invoke(app, ["dlq", *command.split(), "--store", url])

    assert done.exit_code == 78
    assert "SQLiteStore keeps no dead letters: eoconsumer dlq is not possible" in done.stderr


@pytest.mark.usefixtures("installed")
def test_what_was_applied_is_not_asked_of_a_log_that_is_not_kept(tmp_path: Path) -> None:
    url = f"custom:///{tmp_path}/shop.db"
    about = ["--group", "ledger", "-b", "unused:9092", "--store", url]

    done = CliRunner().invoke(app, ["verify", *about])

    assert done.exit_code == 78
    assert "SQLiteStore keeps no applied-log" in done.stderr
    assert "--collection" in done.stderr


@pytest.mark.requirement("N1")
def test_what_a_killed_process_left_undone_is_done_once(store: SQLiteStore) -> None:
    messages = [b"1", b"2", b"3", b"4"]
    program = [sys.executable, "-c", KILLED, store.path]
    killed = subprocess.run(program, check=False, cwd=ROOT / "examples")
    rows = store.database().execute("SELECT text FROM ledger").fetchall()
    assert (killed.returncode, rows) == (-signal.SIGKILL, [("1",), ("2",)])

    fed = feed(
        Ledger("unused:9092", store),
        [Record("moves", 0, offset, value) for offset, value in enumerate(messages)],
    )

    assert [message.value for message in fed.applied] == [b"3", b"4"]
    rows = store.database().execute("SELECT text FROM ledger").fetchall()
    assert rows == [("1",), ("2",), ("3",), ("4",)]


def test_what_the_store_does_not_declare_is_skipped_and_the_report_says_why(tmp_path: Path) -> None:
    settings = tmp_path / "pytest.ini"  # of somebody else's project
    settings.write_text(f"[pytest]\naddopts = --strict-markers\npythonpath = {ROOT}/examples")
    chosen = "dead_letters_need_no_transaction or fences_its_lanes or nobody_up or 63_bits"
    suite = f"{__file__}::TestSQLiteStore"
    run = [sys.executable, "-m", "pytest", "-c", str(settings), "-rs", "-k", chosen, suite]
    # Nor do the options of this run belong to theirs: it would start as many workers.
    theirs = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}

    done = subprocess.run(run, env=theirs, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout
    for reason in (
        "its store keeps no dead letters (Capability.LETTERS)",
        "its store has no rows for lanes (Capability.LANES)",
        "its store cannot end the session of a former owner (Capability.ENDS_FORMER_OWNER)",
    ):
        assert f"TestSQLiteStore: {reason}" in done.stdout
    assert re.search(r"\b1 passed, 5 skipped", done.stdout)


def test_the_store_is_short_enough_to_be_read_in_one_go() -> None:
    sources = (ROOT / "examples" / "custom_store").rglob("*.py")

    assert sum(len(path.read_text("utf-8").splitlines()) for path in sources) < 150
