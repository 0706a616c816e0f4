"""Faults of a SQL server."""

from __future__ import annotations

import time

from eoconsumer.servers import PostgresServer
from tests.chaos.nemesis.field import Field, Outcome
from tests.chaos.plan import Fault


def server_restart(field: Field, fault: Fault) -> Outcome:
    """The server is stopped at once, as by a crash, and started again.

    PostgreSQL is told to end immediately: a killed one leaves children, and does not start beside
    them. MariaDB is killed.
    """
    del fault
    server = field.sql
    if isinstance(server, PostgresServer):
        server.terminate()
    else:
        server.kill()
    gone = not server.is_ready()
    server.start()
    since = time.monotonic()
    field.moved(None, since, 30)
    return Outcome(gone, since)


KINDS = {"server restart": server_restart}
