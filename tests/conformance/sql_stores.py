"""What the SQL stores have in common under test: a ledger, and a store that is empty again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from ssl import SSLContext
from typing import Any

import pytest
from pymysql.connections import Connection as PyMySQL
from sqlalchemy import Column, Engine, Integer, MetaData, Table, Text, delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from eoconsumer.core.lanes import Lane
from eoconsumer.core.letters import EVERY_LETTER
from eoconsumer.stores.sql import AsyncSQLStore, SQLStore
from eoconsumer.stores.sql.session import SQLSession
from eoconsumer.stores.sql.session_async import AsyncSQLSession
from eoconsumer.stores.sql.tables import metadata, schema
from eoconsumer.testing.conformance import AsyncStoreConformance, StoreConformance
from eoconsumer.testing.conformance.on_a_loop import Loop

_made = PyMySQL._create_ssl_ctx


@cache
def _plain_context() -> SSLContext:
    context: SSLContext = _made(object.__new__(PyMySQL), {})
    return context


# PyMySQL reads all certificates of the machine for each connection that might have TLS: 25 ms of
# CPU time, for hundreds of connections to a server that has none.
PyMySQL._create_ssl_ctx = lambda self, told: _made(self, told) if told else _plain_context()

ledger = Table(
    "texts",  # other tests on the same server have a ledger of their own
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("text", Text, nullable=False),
)


class FreshStore(SQLStore):
    """Closes its sessions, so that a test that fails in a transaction harms no other."""

    opened: list[SQLSession]

    def open_lane(self, group: str, owner: str, lane: Lane) -> SQLSession:
        self.opened.append(super().open_lane(group, owner, lane))
        return self.opened[-1]


@contextmanager
def fresh_store(url: str) -> Iterator[FreshStore]:
    """Make a store whose tables are empty, with a ledger."""
    store = FreshStore.connect(url)
    store.opened = []
    store.setup()
    ledger.metadata.create_all(store.engine)
    with store.engine.begin() as connection:
        for table in {*metadata.sorted_tables, ledger} - {schema}:
            connection.execute(delete(table))
    yield store
    for session in store.opened:
        session.close()
    store.close()


@contextmanager
def answers_lost(engine: Engine) -> Iterator[None]:
    """Let commits take place, and their connections break before the answer is read."""
    dialect = engine.dialect
    commit = dialect.do_commit

    def lost(connection: Any) -> None:
        commit(connection)
        connection.dbapi_connection.close()
        error = dialect.loaded_dbapi.OperationalError(2013, "the connection is lost")
        error.sqlite_errorcode = 10
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dialect, "do_commit", lost)
        yield


class Writes:
    """What handlers return for these stores."""

    def writes(self, store: object, texts: Sequence[str]) -> Sequence[Any]:  # noqa: ARG002
        return [(insert(ledger), {"text": text}) for text in texts]

    def bad_write(self, store: object) -> Any:  # noqa: ARG002
        return insert(ledger), {"text": None}


@pytest.mark.requirement("N1", "N14")
class SQLConformance(Writes, StoreConformance):
    def write(self, store: SQLStore, session: Session, text: str) -> None:  # noqa: ARG002
        session.execute(insert(ledger), {"text": text})

    @contextmanager
    def commit_answers_lost(self, store: SQLStore) -> Iterator[None]:
        with answers_lost(store.engine):
            yield

    def swallow_an_error(self, store: SQLStore, session: Session) -> None:  # noqa: ARG002
        with suppress(IntegrityError):
            session.execute(insert(ledger), {"text": None})

    def end_the_transaction(self, store: SQLStore, session: Session) -> None:  # noqa: ARG002
        session.commit()

    def read(self, store: SQLStore) -> Sequence[str]:
        with store.engine.connect() as connection:
            return list(connection.scalars(select(ledger.c.text)))

    def letters(self, store: SQLStore) -> Sequence[int]:
        return [letter.offset for letter in store.letters(EVERY_LETTER, None, 1000)]


class FreshAsyncStore(AsyncSQLStore):
    """Closes its sessions, as ``FreshStore`` does."""

    opened: list[AsyncSQLSession]

    async def open_lane(self, group: str, owner: str, lane: Lane) -> AsyncSQLSession:
        self.opened.append(await super().open_lane(group, owner, lane))
        return self.opened[-1]


@contextmanager
def fresh_async_store(url: str, loop: Loop) -> Iterator[FreshAsyncStore]:
    """Make a store for asyncio whose tables are empty; ``url`` names no driver."""
    with fresh_store(url):
        pass
    store = FreshAsyncStore.connect(url)
    store.opened = []
    loop.run(store.setup())
    yield store
    for session in store.opened:
        loop.run(session.close())
    loop.run(store.close())


@pytest.mark.requirement("N1", "N14")
class AsyncSQLConformance(Writes, AsyncStoreConformance):
    async def write_async(self, store: AsyncSQLStore, session: AsyncSession, text: str) -> None:  # noqa: ARG002
        await session.execute(insert(ledger), {"text": text})

    @contextmanager
    def commit_answers_lost(self, store: Any) -> Iterator[None]:
        with answers_lost(store.engine.sync_engine):
            yield

    async def swallow_an_error_async(self, store: AsyncSQLStore, session: AsyncSession) -> None:  # noqa: ARG002
        with suppress(IntegrityError):
            await session.execute(insert(ledger), {"text": None})

    async def end_the_transaction_async(self, store: AsyncSQLStore, session: AsyncSession) -> None:  # noqa: ARG002
        await session.commit()

    async def read_async(self, store: AsyncSQLStore) -> Sequence[str]:
        async with store.engine.connect() as connection:
            return list(await connection.scalars(select(ledger.c.text)))

    async def letters_async(self, store: AsyncSQLStore) -> Sequence[int]:
        return [letter.offset for letter in await store.letters(EVERY_LETTER, None, 1000)]
