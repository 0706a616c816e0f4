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
