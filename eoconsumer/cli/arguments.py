"""Options that several commands share.

The URL of a store often holds a password, and everybody on a machine can read the command lines
of its processes: so both addresses may come from the environment instead.
"""

from __future__ import annotations

from typing import Annotated

import typer

Bootstrap = Annotated[
    str | None,
    typer.Option(
        "-b",
        "--bootstrap",
        envvar="EOCONSUMER_BOOTSTRAP_SERVERS",
        help="Kafka's bootstrap servers, host:port,host:port.",
    ),
]
StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="EOCONSUMER_STORE",
        help="URL of the database: mongodb://host/shop?replicaSet=rs0.",
    ),
]


def typed(context: typer.Context, *names: str) -> tuple[str, ...]:
    """Return which of these options were given on the command line.

    An address in the environment is there for everybody, so it is not held against a consumer that
    has one; an address on the command line is.
    """
    sources = ((name, context.get_parameter_source(name)) for name in names)
    return tuple(name for name, source in sources if source and source.name == "COMMANDLINE")
