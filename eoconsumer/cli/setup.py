"""`eoconsumer setup`: make what the store needs, ahead of the first run."""

from __future__ import annotations

from typing import Annotated, Protocol, runtime_checkable

import typer

from eoconsumer.cli.arguments import StoreUrl
from eoconsumer.errors import ConfigurationError
from eoconsumer.stores import open_store


@runtime_checkable
class Described(Protocol):
    """A store whose tables are made by statements."""

    def ddl(self) -> str:
        """Return the statements that make the tables."""

    def roles(self) -> str:
        """Return statements that make a user who may do what the store does, and no more."""


def setup(
    store: StoreUrl = None,
    show: Annotated[
        bool, typer.Option("--show", help="Only show the statements; nothing is connected to.")
    ] = False,
) -> None:
    """Make the collections or tables that the store needs; harmless where they are there already.

    `eoconsumer run` does the same at its start. Do it here where the consumer's own database user
    may not make them. With --show the statements of a SQL store are printed, and those that make a
    user with the least privileges, for an administrator to read and run.
    """
    if store is None:
        raise ConfigurationError("Which database? Give --store URL, or set EOCONSUMER_STORE.")
    opened = open_store(store)
    try:
        if show:
            if not isinstance(opened, Described):
                raise ConfigurationError(
                    f"{opened!r} has no statements to show; nothing was done. Its documentation "
                    "says what it makes."
                )
            typer.echo(f"{opened.ddl()}\n\n-- the least that a consumer's own user needs:")
            typer.echo(opened.roles())
            return
        opened.setup()
        typer.echo(f"ready: {opened!r}")
    finally:
        opened.close()
