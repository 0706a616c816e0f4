"""The command line takes an `AsyncConsumer` where it takes a `Consumer`."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from eoconsumer import AsyncConsumer, Message, Record
from eoconsumer.cli import calling
from eoconsumer.cli.app import app
from eoconsumer.cli.subject import subject
from eoconsumer.core.letters import EVERY_LETTER, DeadLetter
from eoconsumer.stores.memory_async import AsyncMemoryStore
from eoconsumer.stores.sql import SQLStore

SHOP = """
import os
from sqlalchemy import text
from eoconsumer import AsyncConsumer
from eoconsumer.stores import open_async_store

class Ledger(AsyncConsumer):
    topics = "moves"
    group = "ledger"

    async def handle(self, message, session):
        _ = 1 // message.offset
        await session.execute(text("INSERT INTO ledger VALUES (:n)"), {"n": message.offset})

made = AsyncConsumer("localhost:1", open_async_store(os.environ["SHOP"]), group="ledger")

@made.on("moves")
async def handle(message, session):
    await session.execute(text("INSERT INTO ledger VALUES (:n)"), {"n": message.offset})
"""


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with three dead letters, and a module of consumers for it."""
    url = f"sqlite:///{tmp_path}/shop.db"
    store = SQLStore.connect(url)
    store.setup()
    with store.engine.begin() as connection:
        connection.execute(text("CREATE TABLE ledger (number INTEGER)"))
    records = [Message(Record("moves", 0, offset, b"x"), None) for offset in (0, 1, 2)]
    session = store.open("ledger", "burier")
    session.bury([DeadLetter(each, ValueError("no coffee"), 1) for each in records])
    session.close()
    store.close()
    (tmp_path / "cli_awaited.py").write_text(SHOP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cli_awaited", raising=False)
    monkeypatch.setenv("SHOP", url)
    monkeypatch.delenv("EOCONSUMER_STORE", raising=False)
    return url


def applied(url: str) -> list[int]:
    store = SQLStore.connect(url)
    with store.engine.connect() as connection:
        numbers = connection.execute(text("SELECT number FROM ledger ORDER BY number")).scalars()
        found = list(numbers)
    store.close()
    return found


def redrive(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["dlq", "redrive", *arguments], catch_exceptions=False)
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.requirement("N1")
def test_letters_are_applied_by_its_handler_once_and_those_that_fail_again_stay(url: str) -> None:
    arguments = ("cli_awaited:Ledger", "-b", "localhost:1", "--store", url)
    code, out, said = redrive(*arguments)
    assert (code, "ZeroDivisionError" in said) == (1, True)
    assert out.startswith("2 applied, 0 gone meanwhile, 1 failed again")
    assert redrive(*arguments)[0] == 1
    assert applied(url) == [1, 2]


def test_one_that_is_made_with_decorators_applies_them_with_its_own_store(url: str) -> None:
    code, out, _ = redrive("cli_awaited:made", "--offset", "2")
    assert (code, out[:9]) == (0, "1 applied")
    assert applied(url) == [2]


@pytest.mark.parametrize("target", ["cli_awaited:Ledger", "cli_awaited:made"])
def test_its_positions_are_read_by_the_store_for_threads_of_the_same_url(
    url: str, target: str
) -> None:
    with subject(target, "localhost:1", url, None) as found:
        assert found.group == "ledger"
        assert isinstance(found.store, SQLStore)


class Closing(AsyncMemoryStore):
    """Notes that it was closed."""

    closed = False

    async def close(self) -> None:
        self.closed = True


class Stopped(AsyncConsumer):
    """Gets a signal before its run has asked Kafka anything."""

    topics = "moves"
    group = "ledger"

    async def handle(self, message: Message[Any], session: Any) -> None:
        """Nothing comes."""

    async def run(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        assert self._stopped_early
        raise ValueError("stopped")


def test_a_signal_that_comes_before_it_is_at_work_stops_it_and_its_store_is_closed() -> None:
    assert threading.current_thread() is threading.main_thread()
    before, store = signal.getsignal(signal.SIGTERM), Closing()

    with pytest.raises(ValueError, match="stopped"):
        calling.run(Stopped("localhost:1", store))

    assert store.closed
    assert signal.getsignal(signal.SIGTERM) is before


def test_its_store_is_closed_after_a_redrive() -> None:
    store = Closing()
    assert calling.redrive(Stopped("localhost:1", store), EVERY_LETTER, None).done == 0
    assert store.closed
