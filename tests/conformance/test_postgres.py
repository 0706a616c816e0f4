"""The SQL store keeps the contract on a real PostgreSQL server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eoconsumer.servers import PostgresServer
from tests.conformance.sql_stores import FreshStore, SQLConformance, fresh_store


class TestPostgreSQL(SQLConformance):
    @pytest.fixture
    def store(self, postgres_server: PostgresServer) -> Iterator[FreshStore]:
        with fresh_store(postgres_server.url) as store:
            yield store
