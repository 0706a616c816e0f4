"""The SQL tables are those on record, are brought to a newer version, and are shown before."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Dialect
from typer.testing import CliRunner

from eoconsumer.cli.app import app
from eoconsumer.cli.trials import Database
from eoconsumer.errors import ConfigurationError
from eoconsumer.stores.sql import SQLStore, schema

RECORDS = Path(__file__).with_name("ddl")
DIALECTS = [postgresql.dialect(), mysql.dialect(), sqlite.dialect()]


def columns(store: SQLStore) -> set[tuple[str, str]]:
    """Return what columns the tables have, and of which type."""
    looked = inspect(store.engine)
    return {
        (table, f"{column['name']} {column['type']} {column['nullable']} {column['default']}")
        for table in looked.get_table_names()
        for column in looked.get_columns(table)
    }


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_the_tables_are_those_on_record_for_their_version(dialect: Dialect) -> None:
    """For a new version: raise VERSION, add what leads to it to MIGRATIONS, and record its DDL."""
    record = RECORDS / f"{dialect.name}-{schema.VERSION}.sql"

    assert schema.ddl(dialect) + "\n" == record.read_text("utf-8")


def test_tables_of_an_older_version_are_brought_to_this_one(tmp_path: Path) -> None:
    store = SQLStore.connect(f"sqlite:///{tmp_path}/shop.db")
    first = (RECORDS / "sqlite-1.sql").read_text("utf-8")
    with store.engine.begin() as connection:
        for statement in first.split(";\n"):
            connection.exec_driver_sql(statement)
    fresh = SQLStore.connect(f"sqlite:///{tmp_path}/fresh.db")
    fresh.setup()

    store.setup()
    store.setup()

    assert columns(store) == columns(fresh)
    with store.engine.connect() as connection:
        versions = connection.execute(text("SELECT version FROM eoconsumer_schema")).all()
    assert versions == [(schema.VERSION,)]
    store.close()
    fresh.close()


def test_tables_of_a_newer_version_are_refused(tmp_path: Path) -> None:
    store = SQLStore.connect(f"sqlite:///{tmp_path}/shop.db")
    store.setup()
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE eoconsumer_schema SET version = 99"))

    with pytest.raises(ConfigurationError, match="newer eoconsumer"):
        store.setup()
    store.close()


def test_what_is_shown_makes_the_tables_that_setup_looks_for(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shop.db"
    shown = CliRunner().invoke(app, ["setup", "--store", url, "--show"])
    assert shown.exit_code == 0
    assert not (tmp_path / "shop.db").exists()

    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in shown.stdout.partition("\n\n-- the least")[0].split(";\n"):
            connection.exec_driver_sql(statement)
        made = connection.execute(text("SELECT sql FROM sqlite_master")).all()
    SQLStore.connect(url).setup()

    with engine.connect() as connection:
        assert connection.execute(text("SELECT sql FROM sqlite_master")).all() == made
    engine.dispose()


@pytest.mark.parametrize("url", ["postgresql://localhost/shop", "mariadb://localhost/shop"])
def test_the_least_privileges_are_shown_for_every_table(url: str) -> None:
    shown = CliRunner().invoke(app, ["setup", "--store", url, "--show"]).stdout

    roles = shown.partition("-- the least")[2]
    assert all(name in roles for name in schema.metadata.tables)


def test_a_store_without_statements_says_so() -> None:
    shown = CliRunner().invoke(app, ["setup", "--store", "memory://", "--show"])

    assert isinstance(shown.exception, ConfigurationError) or shown.exit_code == 78


def test_the_doctor_says_of_sqlite_that_nobody_can_end_an_open_transaction(
    tmp_path: Path,
) -> None:
    store = SQLStore.connect(f"sqlite:///{tmp_path}/shop.db")
    database = Database(store)
    database.setup()

    assert [passed for _, passed, _ in database.diagnose()] == [True, True]
    assert database.roll_back() == "a position was moved and rolled back"
    assert "nobody can end it" in database.take_over()
    store.close()
