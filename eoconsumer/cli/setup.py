"""`eoconsumer setup`: make what the store needs, ahead of the first run."""

from __future__ import annotations

import typer

from eoconsumer.cli.arguments import StoreUrl
from eoconsumer.errors import ConfigurationError
from eoconsumer.stores import open_store


def setup(store: StoreUrl = None) -> None:
    """Make the collections that the store needs; harmless where they are there already.

    `eoconsumer run` does the same at its start. Do it here where the consumer's own database user
    may not create collections.
    """
    if store is None:
        raise ConfigurationError("Which database? Give --store URL, or set EOCONSUMER_STORE.")
    opened = open_store(store)
    try:
        opened.setup()
        typer.echo(f"ready: {opened!r}")
    finally:
        opened.close()
