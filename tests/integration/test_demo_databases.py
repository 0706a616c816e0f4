"""Databases that the demo makes on a server which is there already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pymongo import MongoClient
from sql_cases import SERVERS, empty_database
from sqlalchemy import create_engine, inspect

from eoconsumer.cli.demo.databases import made_on
from eoconsumer.cli.demo.plan import MODES
from eoconsumer.cli.demo.stage import stage
from eoconsumer.errors import ConfigurationError
from eoconsumer.servers import MongoReplicaSet
from eoconsumer.stores import open_store

Databases = Callable[[], set[str]]


@pytest.fixture(params=["mongo_replica_set", *SERVERS])
def server(request: pytest.FixtureRequest) -> tuple[str, Databases]:
    """The URL of a database, and what lists those of its server."""
    if request.param == "mongo_replica_set":
        replica_set: MongoReplicaSet = request.getfixturevalue(request.param)

        def in_mongodb() -> set[str]:
            with MongoClient[Any](replica_set.url) as client:
                return set(client.list_database_names())

        with MongoClient[Any](replica_set.url) as client:
            client["demo_shop"]["sales"].insert_one({})
        return replica_set.url_for("demo_shop"), in_mongodb
    url = empty_database(request.getfixturevalue(request.param))

    def in_sql() -> set[str]:
        engine = create_engine(url)
        names = inspect(engine).get_schema_names()
        with engine.connect() as connection:
            if engine.dialect.name == "postgresql":  # its schemas are within a database
                names = list(
                    connection.exec_driver_sql("SELECT datname FROM pg_database").scalars()
                )
        engine.dispose()
        return set(names)

    return url, in_sql


def test_each_mode_has_a_database_of_its_own_which_is_gone_afterwards_and_no_other(
    server: tuple[str, Databases],
) -> None:
    url, databases = server
    before = databases()

    with made_on(url) as url_for:
        stores = [open_store(url_for(mode)) for mode in MODES]
        for store in stores:
            store.setup()
            store.open("ledger", "somebody who is killed").positions([])
        made = databases() - before
        assert len(made) == len(MODES)
        assert all(any(mode in name for name in made) for mode in MODES)

    assert databases() == before
    for store in stores:
        store.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["postgresql", "mariadb"])
def test_a_server_that_is_named_is_started_beside_a_broker(name: str) -> None:
    said: list[str] = []
    with stage(name, said.append) as (kafka, url_for):
        assert url_for("exactly_once").startswith(name)
        open_store(url_for("exactly_once")).setup()
        assert kafka.alive
    assert not kafka.alive
    assert f"Starting a Kafka broker and a {name} server" in said


def test_a_database_that_cannot_be_made_is_told_before_anything_is_started(
    request: pytest.FixtureRequest,
) -> None:
    postgres = request.getfixturevalue("postgres_server")
    engine = create_engine(postgres.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("DROP ROLE IF EXISTS clerk")
        connection.exec_driver_sql("CREATE ROLE clerk LOGIN PASSWORD 'canary'")
    url = postgres.url.replace("postgres@", "clerk:canary@")

    said: list[str] = []
    with pytest.raises(ConfigurationError, match=r"nothing was started.*permission"):
        stage(url, said.append).__enter__()

    assert said == []
    engine.dispose()
