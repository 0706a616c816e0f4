"""The SQL stores keep the contract on a real PostgreSQL server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eoconsumer.servers import PostgresServer
from eoconsumer.testing.conformance.on_a_loop import Loop
from tests.conformance.sql_stores import (
    AsyncSQLConformance,
    FreshAsyncStore,
    FreshStore,
    SQLConformance,
    fresh_async_store,
    fresh_store,
)
from tests.conformance.whole import NothingIsSkipped

pytestmark = pytest.mark.slow


class TestPostgreSQL(NothingIsSkipped, SQLConformance):
    @pytest.fixture
    def store(self, postgres_server: PostgresServer) -> Iterator[FreshStore]:
        with fresh_store(postgres_server.url) as store:
            yield store


class TestAsyncPostgreSQL(NothingIsSkipped, AsyncSQLConformance):
    @pytest.fixture
    def async_store(self, postgres_server: PostgresServer, loop: Loop) -> Iterator[FreshAsyncStore]:
        with fresh_async_store(postgres_server.bare_url, loop) as store:
            yield store
