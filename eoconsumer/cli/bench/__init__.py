"""`eoconsumer bench`: what the library costs, measured on real servers."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from eoconsumer.cli import MISCONFIGURED
from eoconsumer.cli.exits import complain, reported

bench = typer.Typer(no_args_is_help=True)


@bench.callback()
def needs() -> None:
    """Measure on real servers of its own: against the best loop written by hand."""
    if missing := [name for name in ("orjson", "psutil", "matplotlib") if find_spec(name) is None]:
        complain(f"bench needs {', '.join(missing)}. Run: pip install 'eoconsumer[bench]'")
        raise typer.Exit(MISCONFIGURED)


Json = Annotated[Path | None, typer.Option(help="Write the figures to this file.")]
Page = Annotated[Path | None, typer.Option("--html", help="Write a page with plots to this file.")]
Markdown = Annotated[Path | None, typer.Option(help="Write the tables to this file.")]
Only = Annotated[str, typer.Option(help="Only these, with commas; see the manual.")]
Places = Annotated[str, typer.Option(help="Where to measure, with commas.")]
Pairs = Annotated[int, typer.Option(min=1, help="Rounds, after one that is not counted.")]


@bench.command()
@reported
def limit(
    only: Only = "",
    pairs: Pairs = 7,
    messages: Annotated[int, typer.Option(min=1_000, help="For each side.")] = 200_000,
    rate: Annotated[int, typer.Option(min=1, help="Messages a second, for the latency.")] = 500,
    seconds: Annotated[int, typer.Option(min=1, help="For each side of the latency.")] = 12,
    json: Json = None,
    html: Page = None,
    markdown: Markdown = None,
) -> None:
    """Measure the library against the best loop written by hand, in turns, and against a floor."""
    from eoconsumer.cli.bench.limit import measure
    from eoconsumer.cli.bench.limit.plan import Plan
    from eoconsumer.cli.bench.publish import Files, publish

    files = Files.checked(json, html, markdown)
    plan = Plan.checked(only, pairs, messages, rate, seconds)
    publish("How near the limit", plan.runs, lambda stage, view: measure(plan, stage, view), files)


@bench.command()
@reported
def modes(
    only: Only = "",
    documents: Annotated[int, typer.Option(min=200, help="For each run.")] = 20_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same documents.")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="After one that is not counted.")] = 3,
    rates: Annotated[str, typer.Option(help="Documents a second, with commas.")] = "50,200,500",
    seconds: Annotated[int, typer.Option(min=1, help="For each rate.")] = 10,
    json: Json = None,
    html: Page = None,
    markdown: Markdown = None,
) -> None:
    """Measure the stock ledger in every mode and form of a handler, with and without kills."""
    from eoconsumer.cli.bench.modes import measure
    from eoconsumer.cli.bench.modes.plan import Plan
    from eoconsumer.cli.bench.publish import Files, publish

    files = Files.checked(json, html, markdown)
    plan = Plan.checked(only, documents, seed, rounds, rates, seconds)
    publish("The modes", plan.runs, lambda stage, view: measure(plan, stage, view), files)


@bench.command()
@reported
def scale(
    only: Only = "",
    partitions: Places = "1,6,24,96",
    workers: Places = "1,2,4",
    batch: Places = "100,1000,5000,20000",
    size: Places = "200,1000,10000,100000",
    lag: Places = "0,100000,1000000,5000000",
    messages: Annotated[int, typer.Option(min=100, help="Of 200 bytes, for each run.")] = 200_000,
    rounds: Annotated[int, typer.Option(min=1, help="After one that is not counted.")] = 3,
    json: Json = None,
    html: Page = None,
    markdown: Markdown = None,
) -> None:
    """Measure what more partitions, workers, bytes and lag do to throughput and memory."""
    from eoconsumer.cli.bench.publish import Files, publish
    from eoconsumer.cli.bench.scale import measure
    from eoconsumer.cli.bench.scale.plan import Plan

    files = Files.checked(json, html, markdown)
    places = {
        "partitions": partitions,
        "workers": workers,
        "batch": batch,
        "size": size,
        "lag": lag,
    }
    plan = Plan.checked(only, places, messages, rounds)
    publish("How it scales", plan.runs, lambda stage, view: measure(plan, stage, view), files)
