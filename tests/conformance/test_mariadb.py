"""The SQL store keeps the contract on a real MariaDB server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eoconsumer.servers import MariaDBServer
from tests.conformance.sql_stores import FreshStore, SQLConformance, fresh_store


class TestMariaDB(SQLConformance):
    @pytest.fixture
    def store(self, mariadb_server: MariaDBServer) -> Iterator[FreshStore]:
        with fresh_store(mariadb_server.url) as store:
            yield store
