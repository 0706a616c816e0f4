"""The command line answers a user's mistake with one message and exit code 78."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from eoconsumer.cli.app import app
from eoconsumer.cli.exits import failure
from eoconsumer.errors import BrokerError, ConfigurationError, HandlerFailed
from eoconsumer.kafka import admin
from eoconsumer.stores import open_async_store, open_store
from eoconsumer.stores.memory import MemoryStore

SHOP = """
from eoconsumer import AsyncConsumer, Consumer
from eoconsumer.stores.memory import MemoryStore
from eoconsumer.stores.memory_async import AsyncMemoryStore

class Ledger(Consumer):
    topics = ["moves"]
    group = "ledger"

    def handle(self, message, session): ...

class Two(Ledger):
    def handle_batch(self, messages, session): ...

class Strange(Ledger):
    def __init__(self, nothing): ...

class Awaited(AsyncConsumer):
    topics = ["moves"]
    group = "ledger"

    async def handle(self, message, session): ...

class Blocking(Awaited):
    def handle(self, message, session): ...

awaited = AsyncConsumer("localhost:9092", AsyncMemoryStore(), group="made")
made = Consumer("localhost:9092", MemoryStore(), group="made")
number = 5
"""


@pytest.fixture(autouse=True)
def _shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cli_shop.py").write_text(SHOP)
    (tmp_path / "cli_broken.py").write_text("import cli_shop\nraise ValueError('no coffee')\n")
    (tmp_path / "cli_needy.py").write_text("import something_else_entirely\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("EOCONSUMER_BOOTSTRAP_SERVERS", "EOCONSUMER_STORE"):
        monkeypatch.delenv(name, raising=False)


def told(*arguments: str) -> str:
    """Call the command line with a mistake; return what it says."""
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 78, result.output
    assert "Traceback" not in result.output
    assert result.stdout == ""
    return result.stderr


CLASS = ("run", "cli_shop:Ledger", "-b", "localhost:1", "--store", "memory://")
ORACLE = (*CLASS[2:4], "--store", "oracle://localhost/shop")
PYMYSQL = (*CLASS[2:4], "--store", "mariadb+pymysql://localhost/shop")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "cli_shop"), "module:Class"),
        (("run", "cli_nowhere:Ledger"), "no module 'cli_nowhere' in"),
        (("run", "cli_needy:Ledger"), "no module 'something_else_entirely'"),
        (("run", "cli_broken:Ledger"), "no coffee (.*cli_broken.py, line 2)"),
        (("run", "cli_shop:Leger"), "cli_shop has no 'Leger'"),
        (
            ("run", "cli_shop:number"),
            "neither a subclass of Consumer or AsyncConsumer nor a consumer",
        ),
        (("run", "cli_shop:Ledger"), "-b SERVERS and --store URL"),
        (("run", "cli_shop:Two", *CLASS[2:]), "handle and handle_batch"),
        (("run", "cli_shop:Strange", *CLASS[2:]), "cli_shop:Strange could not be made"),
        (("run", "cli_shop:made", "--mode", "exactly-once"), "--mode cannot be given"),
        (("run", "cli_shop:made", "-b", "localhost:1"), "--bootstrap cannot be given"),
        (("run", "cli_shop:awaited"), "There is no handler"),
        (("run", "cli_shop:awaited", "--workers", "2", "--group", "x"), "--group cannot be given"),
        (("run", "cli_shop:Awaited"), "-b SERVERS and --store URL"),
        (("run", "cli_shop:Blocking", *CLASS[2:]), "is no coroutine function"),
        (("run", "cli_shop:Awaited", *ORACLE), "No store of asyncio is known for oracle"),
        (("run", "cli_shop:Awaited", *PYMYSQL), "pymysql blocks the event loop"),
        (("dlq", "redrive", "cli_shop:awaited", "--mode", "at-most-once"), "--mode cannot be"),
        (("offsets", "list", "cli_shop:awaited"), "--store URL, too"),
        (("offsets", "list", *CLASS[2:], "--group", ""), "Which group is meant?"),
        (("doctor", "cli_shop:awaited"), "--store URL, too"),
        (("run", "cli_shop:made"), "There is no handler"),
        ((*CLASS, "--mode", "twice"), "mode: "),
        ((*CLASS, "--start", "2026-13-01"), "--start 2026-13-01: month"),
        ((*CLASS, "--start", "2026-01-01T08:00"), "time zone"),
        ((*CLASS, "--start", "yesterday"), "start"),
        ((*CLASS[:4], "--store", "localhost/shop"), "not a URL"),
        ((*CLASS[:4], "--store", "oracle://localhost"), "Known are: mariadb, memory, mongodb"),
        ((*CLASS[:4], "--store", "mongodb://localhost"), "names no database"),
        (("setup",), "--store URL"),
        (("doctor",), "-b SERVERS and --store URL"),
        (("dlq", "list"), "--store URL"),
        (("dlq", "show", "--store", "memory://"), "Give --id, or --topic"),
        (("dlq", "drop", "--store", "memory://"), "Give --group"),
        (("dlq", "redrive", "cli_shop:Ledger"), "-b SERVERS and --store URL"),
        (("dlq", "redrive", "cli_shop:made", "--group", "x"), "--group cannot be given"),
        (("demo", "--json", "nowhere/figures.json"), "no folder nowhere"),
        (("demo", "--store", "oracle"), "Use mongodb, sqlite, postgresql, mariadb, or the URL"),
        (("demo", "--store", "sqlite:///shop.db"), "names no database server"),
        (("demo", "--store", "memory://"), "names no database server"),
        (("demo", "--store", "mongodb://me:hunter2@host/shop"), "add authSource=admin"),
    ],
)
def test_a_mistake_is_told_in_one_message(arguments: tuple[str, ...], said: str) -> None:
    assert re.search(said, " ".join(told(*arguments).split()))


@pytest.mark.parametrize("command", ["list", "export"])
def test_the_address_where_no_broker_answers_is_named(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "topics", partial(admin.topics, seconds=0.5))
    arguments = ("offsets", command, "--group", "g", "-b", "127.0.0.1:1", "--store", "memory://")
    assert "No broker answered at 127.0.0.1:1" in told(*arguments)


def test_an_offset_that_no_log_can_have_is_an_option_that_is_not_known() -> None:
    offset = ("--offset", str(2**63))
    result = CliRunner().invoke(app, ("dlq", "list", "--store", "memory://", *offset))
    assert result.exit_code == 2, result.output


@pytest.mark.parametrize("url", ["oracle://me:hunter2@host/db", "mongodb://me:hunter2@host"])
def test_a_password_in_a_url_is_never_shown(url: str) -> None:
    assert "hunter2" not in told("setup", "--store", url)


def test_a_failure_at_run_time_is_told_with_its_cause_and_without_secrets() -> None:
    error = BrokerError("Kafka cannot be used.")
    error.__cause__ = OSError("no route to kafka://me:hunter2@host")
    assert failure(error) == (
        "Kafka cannot be used.\n  caused by OSError: no route to kafka://***@host",
        1,
    )
    assert failure(HandlerFailed()).code == 1
    assert failure(ConfigurationError()).code == 78


def test_the_addresses_of_the_environment_do_not_disturb_a_consumer_that_has_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EOCONSUMER_STORE", "memory://")
    assert "There is no handler" in told("run", "cli_shop:made")


def test_a_store_is_found_by_the_scheme_of_its_url() -> None:
    assert isinstance(open_store("memory://"), MemoryStore)
    assert "shop.eoconsumer_offsets" in repr(open_store("mongodb://localhost/shop"))


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("memory://", "AsyncMemoryStore"),
        ("mongodb://localhost/shop", "AsyncMongoStore"),
        ("postgresql://localhost/shop", "AsyncSQLStore"),
        ("postgresql+psycopg://localhost/shop", "AsyncSQLStore"),
        ("mysql://localhost/shop", "AsyncSQLStore"),
        ("mariadb+asyncmy://localhost/shop", "AsyncSQLStore"),
        ("sqlite:///shop.db", "AsyncSQLStore"),
    ],
)
def test_a_store_of_asyncio_is_found_by_the_scheme_of_its_url(url: str, name: str) -> None:
    assert type(open_async_store(url)).__name__ == name


@pytest.mark.parametrize("url", ["oracle://me:hunter2@host/db", "me:hunter2@host/db"])
def test_a_url_that_no_store_of_asyncio_is_known_for_is_refused_without_its_password(
    url: str,
) -> None:
    with pytest.raises(ConfigurationError, match="nothing was opened") as refused:
        open_async_store(url)
    assert "hunter2" not in str(refused.value)


def test_the_version_is_that_of_the_package() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, "eoconsumer 0.1.0\n")


def python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_it_says_what_to_install(missing: str) -> None:
    done = python(
        f"import sys; sys.modules[{missing!r}] = None\nfrom eoconsumer.cli import main\nmain()"
    )
    assert done.returncode == 78
    assert done.stderr == (
        f"The command line needs {missing}. Run: pip install 'eoconsumer[cli]'\n"
    )


def test_help_loads_no_database_driver_and_no_server() -> None:
    done = python(
        "import sys\nfrom eoconsumer.cli import main\nsys.argv[1:] = ['--help']\n"
        "try: main()\n"
        "finally: assert not {'pymongo', 'eoconsumer.servers'} & sys.modules.keys()"
    )
    assert done.returncode == 0, done.stderr
