"""The versions of the store's tables, as plain DDL, and the way from one to the next."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, Dialect, Engine, func, inspect, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateIndex, CreateTable

from eoconsumer.errors import ConfigurationError
from eoconsumer.stores.sql.database import Database
from eoconsumer.stores.sql.tables import MYSQL, metadata, schema
from eoconsumer.stores.sql.translation import summary

VERSION = 2

#: How long a change waits for open transactions, while all others wait for it.
CHANGE_SECONDS = 5

#: The epoch at which a position was last set; rows that a version without lanes makes have 0.
_BEGUN = "ALTER TABLE eoconsumer_offsets ADD COLUMN begun BIGINT DEFAULT '0' NOT NULL"
_ESCAPED = _BEGUN.replace("'", "''")

#: What leads from version n to n + 1, by n: the statements for each dialect. Version 1 is the
#: first; a change of ``tables.py`` raises VERSION and adds the statements that make it. On MariaDB
#: and MySQL they commit one by one, and may find what was done before a crash.
MIGRATIONS: dict[int, dict[str, tuple[str, ...]]] = {
    1: {
        "postgresql": (f"SET LOCAL lock_timeout = '{CHANGE_SECONDS}s'", _BEGUN),
        "sqlite": (_BEGUN,),
    }
    | dict.fromkeys(
        MYSQL,
        (
            "SET @waited = @@SESSION.lock_wait_timeout",
            f"SET SESSION lock_wait_timeout = {CHANGE_SECONDS}",
            "SET @missing = NOT EXISTS (SELECT 1 FROM information_schema.columns"
            " WHERE table_schema = DATABASE() AND table_name = 'eoconsumer_offsets'"
            " AND column_name = 'begun')",
            f"SET @change = IF(@missing, '{_ESCAPED}', 'DO 0')",
            "PREPARE eoconsumer_change FROM @change",
            "EXECUTE eoconsumer_change",
            "DEALLOCATE PREPARE eoconsumer_change",
            "SET SESSION lock_wait_timeout = @waited",
        ),
    )
}


def ddl(dialect: Dialect) -> str:
    """Return the statements that make the tables of this version."""
    return "\n".join(f"{statement.strip()};" for statement in _statements(dialect))


def setup(engine: Engine, database: Database) -> None:
    """Make the tables, or bring them to this version; safe when many start at once.

    Raises ``ConfigurationError`` where a newer version made them, or the user may not.
    """
    with engine.connect() as connection:
        if _version(connection) == VERSION:
            return
    try:
        with (
            engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
            database.alone(connection),
        ):
            _migrate(connection)
    except SQLAlchemyError as error:
        raise ConfigurationError(
            f"The tables could not be made; nothing was consumed. The database said: "
            f"{summary(error)}. `eoconsumer setup --store URL`, with the URL of a user who may "
            "make tables, makes them; with --show it only shows the statements."
        ) from error


def _migrate(connection: Connection) -> None:
    found = _version(connection)
    if found is None:
        metadata.create_all(connection)
        connection.execute(schema.insert(), {"version": VERSION})
        return
    if found > VERSION:
        raise ConfigurationError(
            f"The tables are of version {found}, and this eoconsumer knows {VERSION}; nothing was "
            "consumed. Install a newer eoconsumer."
        )
    for version in range(found, VERSION):
        for statement in MIGRATIONS[version][connection.dialect.name]:
            connection.exec_driver_sql(statement)
        connection.execute(schema.update().values(version=version + 1))


def _version(connection: Connection) -> int | None:
    """Return the version of the tables; None where there are none, or half of them."""
    if not inspect(connection).has_table(schema.name):
        return None
    version: int | None = connection.execute(select(func.max(schema.c.version))).scalar()
    return version


def _statements(dialect: Dialect) -> Iterator[str]:
    for table in metadata.sorted_tables:
        yield str(CreateTable(table).compile(dialect=dialect))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            yield str(CreateIndex(index).compile(dialect=dialect))
    yield f"INSERT INTO {schema.name} (version) VALUES ({VERSION})"
