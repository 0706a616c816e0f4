"""Databases beside that of a store, on the same server: made, and dropped again."""

from __future__ import annotations

from sqlalchemy import Engine

from eoconsumer.stores.sql.translation import translated


class Beside:
    """What the user of an engine may make on its server: PostgreSQL, MariaDB or MySQL."""

    def __init__(self, engine: Engine) -> None:
        """Ask through ``engine``."""
        self._engine = engine

    def make(self, name: str) -> None:
        """Make a database; raises ``StoreError``, also for a name that is there."""
        with translated(f"make the database {name}"):
            self._send(f"CREATE DATABASE {name}")

    def url_for(self, name: str) -> str:
        """Return the URL of a database, with the password."""
        return self._engine.url.set(database=name).render_as_string(hide_password=False)

    def drop(self, name: str) -> None:
        """Remove a database, whoever is connected to it; raises ``StoreError``."""
        with translated(f"drop the database {name}, which is still there"):
            if self._engine.dialect.name == "postgresql":  # it keeps what somebody is connected to
                self._send(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    f" WHERE datname = '{name}'"
                )
            self._send(f"DROP DATABASE {name}")

    def _send(self, statement: str) -> None:
        with self._engine.connect() as connection:
            alone = connection.execution_options(isolation_level="AUTOCOMMIT")
            alone.exec_driver_sql(statement)
