"""The command line: `python -m mode_comparison compare | run`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer
from confluent_kafka import KafkaException
from pymongo.errors import PyMongoError
from stock_ledger.crash import CrashPlan, CrashPoint
from stock_ledger.generate import documents, ensure_topic, produce
from stock_ledger.watch import Watch

from eoconsumer.errors import ConfigurationError, EOConsumerError

from . import compare as comparison
from .variants import VARIANTS
from .worker import work

BROKEN, CONFIGURATION = 3, 78  # exit codes
PARTITIONS = 2

app = typer.Typer(help="The modes, compared.", no_args_is_help=True, add_completion=False)

Bootstrap = Annotated[str, typer.Option("-b", "--bootstrap", help="Kafka's bootstrap servers.")]
StoreUrl = Annotated[str, typer.Option("--store", help="MongoDB URL with a database's name.")]

BOOTSTRAP = "localhost:9092"
STORE = "mongodb://localhost:27017/shop?replicaSet=rs0"


@app.command()
def compare(
    bootstrap: Bootstrap = BOOTSTRAP,
    store: StoreUrl = STORE,
    count: Annotated[int, typer.Option("-n", "--count", min=100, help="Documents.")] = 2_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same documents.")] = 1,
) -> None:
    """Kill a worker of every variant in the same two places, and count; exit 3 for a broken word.

    The documents go to a new topic. Each variant has a database of its own beside that of --store,
    emptied at the start and left at the end, to look at.
    """
    topic = f"mode-comparison-{uuid4().hex[:8]}"
    ensure_topic(bootstrap, topic, PARTITIONS)
    produced = produce(bootstrap, topic, documents(count, seed))
    print(f"{produced} documents produced\n\n{comparison.HEAD}")
    share = produced // PARTITIONS
    crashes = (f"0:{share // 4}:in-handler", f"0:{share // 2}:after-commit")
    kept = True
    for outcome in comparison.compare(bootstrap, store, topic, crashes):
        print(outcome, flush=True)
        kept = kept and outcome.kept
    print(f"\nevery mode kept {'its promise' if kept else 'NOT its promise'}")
    raise typer.Exit(0 if kept else BROKEN)


@app.command()
def run(
    variant: Annotated[str, typer.Argument(help=f"One of {', '.join(VARIANTS)}.")],
    bootstrap: Bootstrap = BOOTSTRAP,
    store: StoreUrl = STORE,
    topic: Annotated[str, typer.Option(help="The topic of the documents.")] = "stock-documents",
    group: Annotated[str, typer.Option(help="The consumer group.")] = "mode-comparison",
    until_end: Annotated[
        bool, typer.Option("--until-end", help="End where the topic ends now.")
    ] = False,
    progress: Annotated[
        bool, typer.Option("--progress", help="Print progress as JSON lines.")
    ] = False,
    latencies: Annotated[
        Path | None, typer.Option(help="File of latencies, one line a document.")
    ] = None,
    kafka: Annotated[
        list[str] | None, typer.Option(help="A librdkafka setting, KEY=VALUE; repeatable.")
    ] = None,
    crash_at: Annotated[list[str] | None, typer.Option(hidden=True)] = None,
    crash_marks: Annotated[Path, typer.Option(hidden=True)] = Path(),
) -> None:
    """Consume the topic into the ledger in one variant; Ctrl-C drains and ends."""
    if variant not in VARIANTS:
        raise typer.BadParameter(f"{variant}: one of {', '.join(VARIANTS)} needed")
    settings = dict(each.split("=", 1) for each in kafka or ())
    points = [CrashPoint.parse(each) for each in crash_at or ()]
    work(
        *(VARIANTS[variant], bootstrap, store, topic, group),
        watch=Watch(CrashPlan(points, crash_marks), latencies, progress=progress),
        kafka=settings,
        until_end=until_end,
    )


def main() -> None:
    """Run the command line; what a user can mend is one line, not a stack trace."""
    try:
        app()
    except (EOConsumerError, KafkaException, PyMongoError) as error:
        print(f"mode_comparison: stopped: {error}", file=sys.stderr)
        raise SystemExit(CONFIGURATION if isinstance(error, ConfigurationError) else 1) from None


if __name__ == "__main__":
    main()
