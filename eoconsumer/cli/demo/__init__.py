"""`eoconsumer demo`: the same work in four modes, killed at the same messages, and counted."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eoconsumer.cli import FAILED
from eoconsumer.errors import ConfigurationError

if TYPE_CHECKING:
    from eoconsumer.servers import KafkaBroker


class Database(StrEnum):
    """Where the stock ledger is kept."""

    MONGODB = "mongodb"
    SQLITE = "sqlite"


def demo(
    store: Annotated[
        Database, typer.Option(help="A replica set of three nodes, or a file: no server at all.")
    ] = Database.MONGODB,
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file, too.")] = None,
    documents: Annotated[int, typer.Option(min=1_000, help="How many are produced.")] = 6_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same documents.")] = 1,
) -> None:
    """Kill workers in four modes and count what was lost and what was doubled.

    Starts a real Kafka broker and a real MongoDB replica set of three nodes (or, with
    ``--store sqlite``, no database server), feeds business documents into a stock ledger, and kills
    its workers with SIGKILL at the same messages in every mode. Exit 0 only if exactly-once lost
    nothing, duplicated nothing and has the stock right, and the other modes kept their promises.
    """
    from eoconsumer.cli.demo.outcome import Summary
    from eoconsumer.cli.demo.plan import Plan
    from eoconsumer.cli.demo.trial import try_all
    from eoconsumer.cli.demo.view import View

    if json is not None and not json.parent.is_dir():
        raise ConfigurationError(f"There is no folder {json.parent} for --json; nothing was done.")
    plan = Plan(documents, seed)
    with View(documents) as view, _servers(store, view.say) as (kafka, url_for):
        outcomes = try_all(plan, kafka, url_for, view)
    summary = Summary(plan, outcomes, view.seconds)
    view.show("", summary.table(), "", summary.text())
    if json is not None:
        json.write_text(summary.json())
    if not summary.kept:
        raise typer.Exit(FAILED)


@contextmanager
def _servers(
    store: Database, say: Callable[[str], None]
) -> Iterator[tuple[KafkaBroker, Callable[[str], str]]]:
    """Start what is needed; yield the broker, and what gives the URL of a database by its name."""
    from eoconsumer.cli.servers import broker_alone, servers

    if store is Database.MONGODB:
        with servers(say) as (kafka, mongo):
            yield kafka, mongo.url_for
    else:
        with tempfile.TemporaryDirectory() as folder, broker_alone(say) as kafka:
            yield kafka, lambda name: f"sqlite:///{folder}/{name}.db"
