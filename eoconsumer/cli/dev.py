"""`eoconsumer dev`: a broker and a replica set that keep running, for one's own machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from eoconsumer.cli.exits import reported

if TYPE_CHECKING:
    from eoconsumer.servers.dev import DevServers

dev = typer.Typer(
    help="Kafka and MongoDB for development, kept running until `down`.", no_args_is_help=True
)


@dev.command()
@reported
def up() -> None:
    """Start both servers (the first time ever this fetches Kafka: 45 MB), or show them."""
    from eoconsumer.servers import dev as servers

    _show(servers.up())


@dev.command()
@reported
def down() -> None:
    """Stop both servers and remove their data."""
    from eoconsumer.servers import dev as servers

    typer.echo("stopped, data removed" if servers.down() else "nothing was running")


@dev.command()
@reported
def status() -> None:
    """Show where the servers are; exit 1 where none run."""
    from eoconsumer.servers import dev as servers

    running = servers.status()
    if running is None:
        typer.echo("not running; start with: eoconsumer dev up")
        raise typer.Exit(1)
    _show(running)


def _show(running: DevServers) -> None:
    typer.echo(f"kafka    {running.bootstrap_servers}  (pid {running.kafka_pid})")
    pids = ", ".join(map(str, running.mongo_pids))
    typer.echo(f"mongodb  {running.mongo_url}  (pid {pids})")
    # A database has to be named, and these two lines are all that the other commands need.
    url = running.mongo_url.replace("/?", "/dev?")
    typer.echo(f"\nexport EOCONSUMER_BOOTSTRAP_SERVERS={running.bootstrap_servers}")
    typer.echo(f"export EOCONSUMER_STORE='{url}'")
