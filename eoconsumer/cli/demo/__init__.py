"""`eoconsumer demo`: the same work in four modes, killed at the same messages, and counted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eoconsumer.cli import FAILED
from eoconsumer.errors import ConfigurationError


def demo(
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file, too.")] = None,
    documents: Annotated[int, typer.Option(min=1_000, help="How many are produced.")] = 6_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same documents.")] = 1,
) -> None:
    """Kill workers in four modes and count what was lost and what was doubled.

    Starts a real Kafka broker and a real MongoDB replica set of three nodes, feeds business
    documents into a stock ledger, and kills its workers with SIGKILL at the same messages in every
    mode. Exit 0 only if exactly-once lost nothing, duplicated nothing and has the stock right, and
    the other modes kept their promises.
    """
    from eoconsumer.cli.demo.outcome import Summary
    from eoconsumer.cli.demo.plan import Plan
    from eoconsumer.cli.demo.trial import try_all
    from eoconsumer.cli.demo.view import View
    from eoconsumer.cli.servers import servers

    if json is not None and not json.parent.is_dir():
        raise ConfigurationError(f"There is no folder {json.parent} for --json; nothing was done.")
    plan = Plan(documents, seed)
    with View(documents) as view, servers(view.say) as (kafka, mongo):
        outcomes = try_all(plan, kafka, mongo, view)
    summary = Summary(plan, outcomes, view.seconds)
    view.show("", summary.table(), "", summary.text())
    if json is not None:
        json.write_text(summary.json())
    if not summary.kept:
        raise typer.Exit(FAILED)
