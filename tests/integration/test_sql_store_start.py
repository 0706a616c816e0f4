"""What a SQL store says at its start: of URLs, users, and servers that are not there yet."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from consuming import running, send
from sql_cases import crash
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.orm import Session
from trial import DEADLINE, QUICK, eventually

from eoconsumer import Consumer, Events, Message
from eoconsumer.errors import ConfigurationError, TransientStoreError
from eoconsumer.servers import KafkaBroker, MariaDBServer, PostgresServer
from eoconsumer.stores import open_async_store, open_store
from eoconsumer.stores.sql import SQLStore


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:canary@localhost",
        "mysql+nothing://u:canary@localhost/shop",
        "sqlite:///nowhere/canary/shop.db",
    ],
)
@pytest.mark.requirement("S3-25")
def test_a_url_that_cannot_be_used_is_told_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="nothing was consumed") as raised:
        open_store(url).setup()

    assert "canary" not in f"{raised.value}"


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"memory|names no database"):
        open_store(url).setup()


def test_a_store_names_its_database_and_no_password() -> None:
    store = SQLStore.connect("postgresql://ledger:canary@localhost/shop")

    assert repr(store) == "SQLStore(postgresql, 'shop')"
    assert store.engine.url.drivername == "postgresql+psycopg"


def test_an_engine_that_translates_schemas_is_refused() -> None:
    engine = create_engine("sqlite:///shop.db")
    tenants = engine.execution_options(schema_translate_map={None: "tenant"})

    with pytest.raises(ConfigurationError, match="search_path"):
        SQLStore(tenants)


NOBODY = [
    "postgresql://u:canary@127.0.0.1:1/shop",
    "postgresql://u:canary@nowhere.invalid/shop",
    "mariadb://u:canary@127.0.0.1:1/shop",
    "mariadb://u:canary@nowhere.invalid/shop",
]


@pytest.mark.parametrize("url", NOBODY)
@pytest.mark.requirement("S3-25")
def test_a_server_that_is_not_there_may_be_there_soon(url: str) -> None:
    with pytest.raises(TransientStoreError, match="nothing was consumed") as raised:
        open_store(url).setup()

    assert "canary" not in f"{raised.value}"


@pytest.mark.parametrize("url", NOBODY)
def test_with_asyncio_a_server_that_is_not_there_may_be_there_soon(url: str) -> None:
    async def set_up() -> None:
        store = open_async_store(url)
        try:
            await store.setup()
        finally:
            await store.close()

    with pytest.raises(TransientStoreError, match="nothing was consumed"):
        asyncio.run(set_up())


def test_a_postgresql_that_is_starting_up_is_ready_soon() -> None:
    with PostgresServer() as server:
        recovers = server.folder / "data" / "standby.signal"
        server.terminate()
        recovers.touch()  # it stays in its recovery, and lets nobody in
        server.parameters["hot_standby"] = "off"
        server.launch()
        try:
            said = ""
            while "the database system is" not in said:
                with pytest.raises(TransientStoreError) as raised:
                    open_store(server.url).setup()
                said = str(raised.value)
        finally:
            crash(server)
        recovers.unlink()
        server.start()
        open_store(server.url).setup()


@contextmanager
def with_a_clerk(server: PostgresServer | MariaDBServer) -> Iterator[str]:
    """The URL of a user with a password that is not the given one."""
    engine = create_engine(server.url, isolation_level="AUTOCOMMIT")
    at = "@'127.0.0.1'" if isinstance(server, MariaDBServer) else ""
    word = "IDENTIFIED BY" if at else "LOGIN PASSWORD"
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE USER clerk{at} {word} 'right'")
        yield server.url.replace(f"{server.login}@", "clerk:canary@")
        connection.exec_driver_sql(f"DROP USER clerk{at}")
    engine.dispose()


def refused(url: str) -> str:
    with pytest.raises(ConfigurationError, match="nothing was consumed") as raised:
        open_store(url).setup()
    assert "canary" not in str(raised.value)
    return str(raised.value)


@pytest.mark.requirement("S3-25")
def test_a_wrong_password_is_refused_at_once(mariadb_server: MariaDBServer) -> None:
    with with_a_clerk(mariadb_server) as url:
        assert "denied" in refused(url)
    with PostgresServer() as postgres, with_a_clerk(postgres) as url:
        rules = postgres.folder / "data" / "pg_hba.conf"
        rules.write_text("host all clerk 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
        engine = create_engine(postgres.url)
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT pg_reload_conf()")
        engine.dispose()
        eventually(lambda: "password" in refused(url))


@pytest.mark.parametrize("server", ["postgres_server", "mariadb_server"])
@pytest.mark.requirement("S3-25")
def test_a_database_that_does_not_exist_is_refused_at_once(
    server: str, request: pytest.FixtureRequest
) -> None:
    url = make_url(request.getfixturevalue(server).url).set(database="nowhere")
    assert "nowhere" in refused(url.render_as_string(hide_password=False))


@pytest.mark.slow
def test_a_consumer_that_starts_before_its_database_begins_when_that_is_there(
    kafka_broker: KafkaBroker, topic: str
) -> None:
    server = PostgresServer()
    store = SQLStore.connect(server.url)
    waiting = Waiting()

    class Ledger(Consumer):
        topics, group, kafka = topic, topic, QUICK

        def handle(self, message: Message, session: Session) -> None:
            session.execute(text("SELECT :offset"), {"offset": message.offset})

    send(kafka_broker.bootstrap_servers, topic, b"1", b"2")
    consumer = Ledger(kafka_broker.bootstrap_servers, store, events=waiting)
    try:
        with running(consumer):
            assert waiting.seen.wait(DEADLINE)
            server.start()
            eventually(lambda: consumer.snapshot().committed == 2)
    finally:
        store.close()
        server.stop()


class Waiting(Events):
    """Notes that the database was not there."""

    def __init__(self) -> None:
        self.seen = threading.Event()

    def not_ready(self, error: BaseException, tries: int) -> None:  # noqa: ARG002 - a hook
        self.seen.set()
