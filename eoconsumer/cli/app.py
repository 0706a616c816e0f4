"""The commands, put together."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from eoconsumer.cli.bench import bench
from eoconsumer.cli.demo import demo
from eoconsumer.cli.dev import dev
from eoconsumer.cli.dlq import dlq
from eoconsumer.cli.doctor import doctor
from eoconsumer.cli.exits import reported
from eoconsumer.cli.offsets import offsets
from eoconsumer.cli.run import run
from eoconsumer.cli.setup import setup
from eoconsumer.cli.verify import verify

app = typer.Typer(
    help="Consume Kafka into a transactional database, exactly once.",
    no_args_is_help=True,
    # Pretty stack traces show local variables, and these may hold passwords.
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"eoconsumer {version('eoconsumer')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Consume Kafka into a transactional database, exactly once."""


for command in (demo, run, doctor, setup, verify):
    app.command()(reported(command))
app.add_typer(bench, name="bench")
app.add_typer(dev, name="dev")
app.add_typer(offsets, name="offsets")
app.add_typer(dlq, name="dlq")
