"""The SQL stores keep the contract on a real MariaDB server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eoconsumer.servers import MariaDBServer
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


class TestMariaDB(NothingIsSkipped, SQLConformance):
    @pytest.fixture
    def store(self, mariadb_server: MariaDBServer) -> Iterator[FreshStore]:
        with fresh_store(mariadb_server.url) as store:
            yield store


class TestAsyncMariaDB(NothingIsSkipped, AsyncSQLConformance):
    @pytest.fixture
    def async_store(self, mariadb_server: MariaDBServer, loop: Loop) -> Iterator[FreshAsyncStore]:
        with fresh_async_store(mariadb_server.bare_url, loop) as store:
            yield store
