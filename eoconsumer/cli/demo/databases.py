"""Databases that the demo makes on a server that runs already, and drops at its end."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from eoconsumer.cli.demo.plan import MODES
from eoconsumer.errors import ConfigurationError, StoreError
from eoconsumer.protocols import Store
from eoconsumer.stores import open_store
from eoconsumer.stores.mongo import MongoStore
from eoconsumer.stores.mongo.translation import translated

if TYPE_CHECKING:
    from eoconsumer.stores.sql.beside import Beside


@contextmanager
def made_on(url: str) -> Iterator[Callable[[str], str]]:
    """Make a database for each mode on the server of ``url``; yield what gives their URLs by mode.

    Their names are new, so that nothing is touched that is there; all are dropped at the end.
    Raises ``ConfigurationError`` where the server cannot be used, or does not let us make them.
    """
    mark = secrets.token_hex(4)
    names = {mode: f"eoconsumer_demo_{mode}_{mark}" for mode in MODES}
    with closing(open_store(url)) as store, ExitStack() as at_the_end:
        server = _server(store, url)
        for name in names.values():
            try:
                server.make(name)
            except StoreError as error:
                raise ConfigurationError(
                    f"The demo got no database on the server of --store; nothing was started. "
                    f"{error} Check the URL, and let its user make databases; or leave the server "
                    "to the demo: --store postgresql, mariadb or sqlite."
                ) from error
            at_the_end.callback(server.drop, name)
        with closing(open_store(server.url_for(name))) as one:
            one.setup()  # says what is wrong, before a broker is started
        yield lambda mode: server.url_for(names[mode])


def _server(store: Store[Any], url: str) -> MongoServer | Beside:
    if isinstance(store, MongoStore):
        return MongoServer(store, url)
    from eoconsumer.stores.sql import SQLStore  # SQLAlchemy need not be installed
    from eoconsumer.stores.sql.beside import Beside

    if isinstance(store, SQLStore) and store.engine.dialect.name != "sqlite":
        return Beside(store.engine)
    raise ConfigurationError(
        "The URL of --store names no database server; nothing was started. Use --store sqlite for "
        "files that the demo makes, or name MongoDB, PostgreSQL, MariaDB or MySQL."
    )


class MongoServer:
    """A replica set that runs."""

    def __init__(self, store: MongoStore, url: str) -> None:
        """Use the client of ``store``, which was opened by ``url``."""
        self._client = store.client
        self._url = urlsplit(url)
        if "@" in self._url.netloc and "authsource=" not in self._url.query.lower():
            raise ConfigurationError(
                "The URL of --store has a user and no authSource; nothing was started. Without it "
                "the database of the URL is asked who that is, and the demo uses another one: add "
                "authSource=admin, or where your user is."
            )

    def make(self, name: str) -> None:
        """See that somebody is there: the first write makes it. Raises ``StoreError``."""
        with translated(f"make the database {name}"):
            self._client.admin.command("ping")

    def url_for(self, name: str) -> str:
        """Return the URL of one database."""
        return self._url._replace(path=f"/{name}").geturl()

    def drop(self, name: str) -> None:
        """Remove it; raises ``StoreError``."""
        with translated(f"drop the database {name}, which is still there"):
            self._client.drop_database(name)
