"""The command line: `python -m stock_ledger generate | run | rebuild | check`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from confluent_kafka import KafkaException

from eoconsumer.errors import ConfigurationError, EOConsumerError

from .check import check as check_books
from .crash import CrashPlan, CrashPoint
from .generate import documents, ensure_topic, paced, produce
from .opening import database_errors, open_books
from .watch import Watch, percentiles
from .worker import RunMode, work

DISAGREE, CONFIGURATION = 3, 78  # exit codes

app = typer.Typer(help="A stock ledger fed from Kafka.", no_args_is_help=True, add_completion=False)

Bootstrap = Annotated[str, typer.Option("-b", "--bootstrap", help="Kafka's bootstrap servers.")]
StoreUrl = Annotated[
    str,
    typer.Option("--store", envvar="EOCONSUMER_STORE", help="URL of a database, with its name."),
]
Topic = Annotated[str, typer.Option(help="The topic of the documents.")]
Group = Annotated[str, typer.Option(help="The consumer group.")]
Progress = Annotated[bool, typer.Option("--progress", help="Print progress as JSON lines.")]
Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]
Latencies = Annotated[Path | None, typer.Option(help="File of latencies, one line a document.")]

BOOTSTRAP = "localhost:9092"
STORE = "mongodb://localhost:27017/shop?replicaSet=rs0"
TOPIC, GROUP = "stock-documents", "stock-ledger"


@app.command()
def generate(
    bootstrap: Bootstrap = BOOTSTRAP,
    topic: Topic = TOPIC,
    count: Annotated[int, typer.Option("-n", "--count", help="How many documents.")] = 10_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same documents.")] = 1,
    partitions: Annotated[int, typer.Option(help="Of the topic, if it has to be made.")] = 4,
    skip: Annotated[int, typer.Option(help="Leave out the seed's first documents.")] = 0,
    rate: Annotated[
        float | None, typer.Option(help="Documents a second; as fast as it goes by default.")
    ] = None,
    progress: Progress = False,
) -> None:
    """Produce documents to the topic, keyed by product family."""

    def tell(acknowledged: int) -> None:
        if progress:
            print(json.dumps({"produced": acknowledged}), flush=True)

    ensure_topic(bootstrap, topic, partitions)
    stream = documents(count, seed, skip)
    produced = produce(bootstrap, topic, paced(stream, rate) if rate else stream, tell)
    if not progress:
        print(f"{produced} documents produced to {topic}")


@app.command()
def run(
    bootstrap: Bootstrap = BOOTSTRAP,
    store: StoreUrl = STORE,
    topic: Topic = TOPIC,
    group: Group = GROUP,
    mode: Annotated[RunMode, typer.Option(help="Where the offset write stands.")] = (
        RunMode.EXACTLY_ONCE
    ),
    readers: Annotated[int, typer.Option(min=1, help="Threads that share the partitions.")] = 2,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="End where the topic ends now.")
    ] = False,
    progress: Progress = False,
    latencies: Latencies = None,
    kafka: Annotated[
        list[str] | None, typer.Option(help="A librdkafka setting, KEY=VALUE; repeatable.")
    ] = None,
    crash_at: Annotated[list[str] | None, typer.Option(hidden=True)] = None,
    crash_marks: Annotated[Path, typer.Option(hidden=True)] = Path(),
) -> None:
    """Consume the topic into the ledger; Ctrl-C drains and ends."""
    try:
        settings = dict(each.split("=", 1) for each in kafka or ())
        points = [CrashPoint.parse(each) for each in crash_at or ()]
    except ValueError as error:
        raise typer.BadParameter(f"{error}: KEY=VALUE or PARTITION:OFFSET:WHERE needed") from error
    watch = Watch(CrashPlan(points, crash_marks), latencies, progress=progress)
    work(
        *(bootstrap, store, topic, group, mode),
        readers=readers,
        watch=watch,
        kafka=settings,
        until_end=until_end,
    )


@app.command()
def rebuild(store: StoreUrl = STORE, topic: Topic = TOPIC) -> None:
    """Recompute current stock and weighted cost from the ledger."""
    books = open_books(store)
    books.setup()
    different = books.rebuild(topic)
    total = len(books.derived().stock)
    print(f"stock and cost of {total} holdings recomputed; {different} came out different")


@app.command()
def check(
    bootstrap: Bootstrap = BOOTSTRAP,
    store: StoreUrl = STORE,
    topic: Topic = TOPIC,
    group: Group = GROUP,
    as_json: Json = False,
    latencies: Latencies = None,
) -> None:
    """Say whether ledger, stock, cost and topic agree; exit 3 if they do not."""
    report = check_books(open_books(store), bootstrap, topic, group)
    if as_json:
        p50, p99 = (latencies and percentiles(latencies)) or (None, None)
        print(json.dumps(report.figures() | {"p50_ms": p50, "p99_ms": p99}))
    else:
        print(report)
    raise typer.Exit(0 if report.agree else DISAGREE)


def main() -> None:
    """Run the command line; what a user can mend is one line, not a stack trace."""
    try:
        app()
    except Exception as error:
        if not isinstance(error, (EOConsumerError, KafkaException, *database_errors())):
            raise
        print(f"stock_ledger: stopped: {error}", file=sys.stderr)
        raise SystemExit(CONFIGURATION if isinstance(error, ConfigurationError) else 1) from None


if __name__ == "__main__":
    main()
