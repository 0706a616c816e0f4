"""`eoconsumer demo`: the same work in four modes, killed at the same messages, and counted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eoconsumer.cli import FAILED
from eoconsumer.errors import ConfigurationError


def demo(
    store: Annotated[
        str,
        typer.Option(
            metavar="mongodb|sqlite|postgresql|mariadb|URL",
            help="What to start: a replica set of three nodes, or another server; files with "
            "sqlite. Or the URL of a database that runs: it gets databases of the demo's own.",
        ),
    ] = "mongodb",
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file, too.")] = None,
    documents: Annotated[int, typer.Option(min=1_000, help="How many are produced.")] = 6_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same documents.")] = 1,
) -> None:
    """Kill workers in four modes and count what was lost and what was doubled.

    Starts a real Kafka broker and a real MongoDB replica set of three nodes (or what ``--store``
    names), feeds business documents into a stock ledger, and kills its workers with SIGKILL at the
    same messages in every mode. Exit 0 only if exactly-once lost nothing, duplicated nothing and
    has the stock right, and the other modes kept their promises.
    """
    from eoconsumer.cli.demo.outcome import Summary
    from eoconsumer.cli.demo.plan import Plan
    from eoconsumer.cli.demo.stage import stage
    from eoconsumer.cli.demo.trial import terminated_like_interrupted, try_all
    from eoconsumer.cli.demo.view import View

    if json is not None and not json.parent.is_dir():
        raise ConfigurationError(f"There is no folder {json.parent} for --json; nothing was done.")
    plan = Plan(documents, seed)
    with (
        terminated_like_interrupted(),
        View(documents) as view,
        stage(store, view.say) as (kafka, url_for),
    ):
        outcomes = try_all(plan, kafka, url_for, view)
    summary = Summary(plan, outcomes, view.seconds)
    view.show("", summary.table(), "", summary.text())
    if json is not None:
        json.write_text(summary.json())
    if not summary.kept:
        raise typer.Exit(FAILED)
