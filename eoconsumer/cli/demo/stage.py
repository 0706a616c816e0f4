"""Where the demo takes place: a broker, and a database of its own for each mode."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from eoconsumer.cli.demo.databases import made_on
from eoconsumer.cli.servers import broker_alone, servers, together
from eoconsumer.errors import ConfigurationError
from eoconsumer.servers import KafkaBroker, MariaDBServer, PostgresServer

#: Gives the URL of a database by the mode whose ledger is kept in it.
UrlFor: TypeAlias = Callable[[str], str]

SQL = {"postgresql": PostgresServer, "mariadb": MariaDBServer}
NAMES = ("mongodb", "sqlite", *SQL)


@contextmanager
def stage(store: str, say: Callable[[str], None]) -> Iterator[tuple[KafkaBroker, UrlFor]]:
    """Start what ``store``, one of ``NAMES`` or the URL of a database that runs, asks for.

    ``say`` is told what takes time. At the end all of it is gone. Raises ``ConfigurationError`` for
    another ``store``, and where a server cannot be started or used.
    """
    if "://" in store:
        with made_on(store) as url_for, broker_alone(say) as kafka:
            yield kafka, url_for
    elif store == "mongodb":
        with servers(say) as (kafka, mongo):
            yield kafka, mongo.url_for
    elif store == "sqlite":
        with tempfile.TemporaryDirectory() as folder, broker_alone(say) as kafka:
            yield kafka, lambda mode: f"sqlite:///{folder}/{mode}.db"
    elif store in SQL:
        kafka, server = KafkaBroker(), SQL[store]()
        with (
            together(kafka, server, f"a {store} server", say),
            made_on(server.url) as url_for,
        ):
            yield kafka, url_for
    else:
        raise ConfigurationError(
            f"--store {store} is not known; nothing was started. Use {', '.join(NAMES)}, or the "
            "URL of a database that runs."
        )
