"""The SQL store: what users construct."""

from __future__ import annotations

import logging
from collections.abc import Generator
from typing import Self

from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from eoconsumer.core.applied import Applied
from eoconsumer.core.capabilities import EVERYTHING, Capability
from eoconsumer.core.lanes import WHOLE, Lane
from eoconsumer.core.letters import Letter, Selection
from eoconsumer.core.verify import Mark, Marker
from eoconsumer.errors import ConfigurationError, TransientStoreError
from eoconsumer.message import TopicPartition
from eoconsumer.stores.sql import applied, letters, marks, schema
from eoconsumer.stores.sql.claims import Open
from eoconsumer.stores.sql.database import Database
from eoconsumer.stores.sql.guard import hear_errors
from eoconsumer.stores.sql.mysql import MySQL
from eoconsumer.stores.sql.postgresql import PostgreSQL
from eoconsumer.stores.sql.session import SQLSession
from eoconsumer.stores.sql.sqlite import SQLite
from eoconsumer.stores.sql.translation import summary
from eoconsumer.stores.sql.url import DRIVERS, engine_of

log = logging.getLogger(__name__)

DATABASES: dict[str, type[Database]] = {
    "postgresql": PostgreSQL,
    "mysql": MySQL,
    "mariadb": MySQL,
    "sqlite": SQLite,
}

_AWAITED = "is an engine of asyncio, which nobody awaits here; nothing was consumed."
_TWIN = "or use AsyncSQLStore with an AsyncConsumer."


class SQLStore:
    """Positions and the handler's writes in one PostgreSQL, MariaDB, MySQL or SQLite database.

    >>> store = SQLStore.connect("postgresql+psycopg://localhost/shop")
    >>> session.execute(insert(ledger).values(qty=1))
    """

    #: SQL transactions may take as long as they like.
    transaction_seconds: float | None = None

    def __init__(self, engine: Engine) -> None:
        """Use a ready ``engine``, which stays the caller's to dispose.

        Each reader takes one connection out of its pool for as long as it runs. Raises
        ``ConfigurationError`` for another kind of database, and for an engine with a
        ``schema_translate_map``: SQL as text, of which the store has some, does not heed it.
        """
        dialect = getattr(engine, "dialect", None)
        if dialect is None:
            raise ConfigurationError(
                f"It is a {type(engine).__name__}, no engine of SQLAlchemy; nothing was consumed. "
                "Give create_engine(url), or the URL to connect()."
            )
        if isinstance(engine, AsyncEngine):
            raise ConfigurationError(f"It {_AWAITED} Give SQLStore one of create_engine(), {_TWIN}")
        kind = DATABASES.get(dialect.name)
        if kind is None:
            raise ConfigurationError(
                f"{engine.dialect.name} is not known here; nothing was consumed. "
                f"Known are: {', '.join(DATABASES)}."
            )
        if engine.get_execution_options().get("schema_translate_map"):
            raise ConfigurationError(
                "The engine has a schema_translate_map, which SQL as text does not heed; nothing "
                "was consumed. Give that option to single statements, or choose the schema for the "
                'connection: connect_args={"options": "-c search_path=tenant"} on PostgreSQL.'
            )
        self.engine = engine
        self._database = kind()
        self._connections: Open = {}
        self._owned = False
        hear_errors(engine)

    @classmethod
    def connect(cls, url: str) -> Self:
        """Make an engine for ``url``, which names the database; ``close`` disposes of it.

        Connects at the first use. Without a driver in the URL it is psycopg, PyMySQL or the
        standard library's sqlite3. Raises ``ConfigurationError`` for a URL that cannot be used.
        """
        engine = engine_of(create_engine, url, DRIVERS)
        if engine.dialect.is_async:
            raise ConfigurationError(f"Its {engine.driver} {_AWAITED} Leave it out, {_TWIN}")
        store = cls(engine)
        store._owned = True
        return store

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the database can do: all, but for SQLite."""
        lacks = set()
        if not self._database.ends_sessions:
            lacks.add(Capability.ENDS_FORMER_OWNER)
        if not self._database.many_writers:
            lacks.add(Capability.MANY_WRITERS)
        return EVERYTHING - lacks

    def setup(self) -> None:
        """Check the server and make the tables; safe when many start at once.

        Raises ``ConfigurationError`` where the server is too old, a standby, or does not allow what
        is needed, and ``TransientStoreError`` where nobody is there, or ready.
        """
        try:
            with self.engine.connect() as connection:
                for _, check in self._database.check(connection):
                    check()
            schema.setup(self.engine, self._database)
        except SQLAlchemyError as error:
            if self._database.is_absent(error):
                raise TransientStoreError(
                    f"The database is not there, or not ready; nothing was consumed. It said: "
                    f"{summary(error)}. Check the URL, the network, and that the server runs."
                ) from error
            raise self._unusable(error) from error

    def diagnose(self) -> list[tuple[str, bool, str]]:
        """Return each check's name, whether it passed, and what it found or what to do."""
        results: list[tuple[str, bool, str]] = []
        try:
            with self.engine.connect() as connection:
                for name, check in self._database.check(connection):
                    try:
                        results.append((name, True, check()))
                    except ConfigurationError as error:
                        results.append((name, False, str(error)))
        except SQLAlchemyError as error:
            results.append(("server", False, str(self._unusable(error))))
        return results

    def ddl(self) -> str:
        """Return the statements that ``setup`` makes the tables with."""
        return schema.ddl(self.engine.dialect)

    def roles(self) -> str:
        """Return statements that make a user who may do what the store does, and no more."""
        quote = self.engine.dialect.identifier_preparer.quote
        return self._database.roles(quote(self.engine.url.database or ""))

    def open(self, group: str, owner: str) -> SQLSession:
        """Open a session for one reader; ``owner`` is unique among all readers, ever."""
        return self.open_lane(group, owner, WHOLE)

    def open_lane(self, group: str, owner: str, lane: Lane) -> SQLSession:
        """Open a session for one lane, or for the reader that has them; see the protocol.

        Each takes one connection, too. Where one transaction writes at a time, lanes take turns
        in it.
        """
        if lane.lanes and not lane.number and not self._database.many_writers:
            log.warning(
                "%s has one writer at a time: in exactly_once, where the handler runs inside of "
                "the transaction, lanes take turns, and are slower than lanes=0",
                self.engine.dialect.name,
            )
        return SQLSession(self.engine, self._database, group, owner, self._connections, lane)

    def letters(self, which: Selection, after: Letter | None, limit: int) -> list[Letter]:
        """Return dead letters; see the protocol."""
        return letters.find(self.engine, which, after, limit)

    def applied(
        self, group: str, partition: TopicPartition, first: int, upto: int
    ) -> Generator[Applied, None, None]:
        """Read the applied-log; see the protocol."""
        return applied.find(self.engine, group, partition, first, upto)

    def marks(
        self, marker: Marker, partition: TopicPartition, first: int, upto: int
    ) -> Generator[Mark, None, None]:
        """Read what a user's own rows say of their messages, in the order of the offsets.

        The ``collection`` of ``marker`` is a table, its fields are columns. Raises
        ``ConfigurationError`` where one is missing.
        """
        return marks.find(self.engine, marker, partition, first, upto)

    def close(self) -> None:
        """Dispose of the engine if ``connect`` made it."""
        if self._owned:
            self.engine.dispose()

    def __repr__(self) -> str:
        """Name the database, never the URL: it may hold a password."""
        return f"SQLStore({self.engine.dialect.name}, {self.engine.url.database!r})"

    def _unusable(self, error: SQLAlchemyError) -> ConfigurationError:
        return ConfigurationError(
            f"The database cannot be used; nothing was consumed. It said: {summary(error)}. "
            "Check the URL, the network, and that the server runs."
        )
