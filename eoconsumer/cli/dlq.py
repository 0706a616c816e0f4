"""`eoconsumer dlq`: dead letters are listed, shown, applied again, or dropped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eoconsumer.cli import FAILED
from eoconsumer.cli.arguments import Bootstrap, StoreUrl, typed
from eoconsumer.cli.exits import reported
from eoconsumer.errors import ConfigurationError, said
from eoconsumer.redact import redact_url

if TYPE_CHECKING:
    from eoconsumer.core.letters import Letter, Selection
    from eoconsumer.core.redrive import Redriven
    from eoconsumer.protocols import Store

Group = Annotated[str | None, typer.Option(help="Of this consumer group.")]
Topic = Annotated[str | None, typer.Option(help="Of this topic.")]
Partition = Annotated[int | None, typer.Option(min=0, max=2**31 - 1, help="Of this partition.")]
Offset = Annotated[int | None, typer.Option(min=0, max=2**63 - 1, help="With this offset.")]
Id = Annotated[str | None, typer.Option(help="The one that `list` shows with this id.")]
Limit = Annotated[int | None, typer.Option(min=1, help="So many at most.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON, with everything.")]

#: Characters of an error that are shown.
MOST_SAID = 2_000

dlq = typer.Typer(
    help="Dead letters: messages that failed for good, and those that wait behind them.",
    no_args_is_help=True,
)


@dlq.command("list")
@reported
def list_(
    store: StoreUrl = None,
    group: Group = None,
    topic: Topic = None,
    partition: Partition = None,
    offset: Offset = None,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """Show a line for each dead letter, in the order of group, topic, partition and offset."""
    from eoconsumer.cli.letters import as_line, as_value
    from eoconsumer.core.letters import Selection

    with _opened(store) as opened:
        found = opened.letters(Selection(group, topic, partition, offset), None, limit or 100)
    if as_json:
        typer.echo(json.dumps([as_value(letter) for letter in found], indent=2))
        return
    for letter in found:
        typer.echo(as_line(letter))
    more = f"; there may be more, see --limit {limit}" if len(found) == limit else ""
    typer.echo(f"{len(found)} dead letters{more}", err=True)


@dlq.command()
@reported
def show(
    store: StoreUrl = None,
    id: Id = None,
    group: Group = None,
    topic: Topic = None,
    partition: Partition = None,
    offset: Offset = None,
    as_json: Json = False,
) -> None:
    """Show all of a dead letter: key, value and headers, error and traceback, attempts.

    What is no printable text is shown as base64.
    """
    from eoconsumer.cli.letters import as_text, as_value
    from eoconsumer.core.letters import Selection

    if id is None and offset is None:
        raise ConfigurationError("Which one? Give --id, or --topic, --partition and --offset.")
    with _opened(store) as opened:
        found = opened.letters(Selection(group, topic, partition, offset, id), None, 100)
    if as_json:
        typer.echo(json.dumps([as_value(letter) for letter in found], indent=2))
    else:
        typer.echo("\n".join(map(as_text, found)) or "no such dead letter", err=not found)
    if not found:
        raise typer.Exit(FAILED)


@dlq.command()
@reported
def redrive(
    context: typer.Context,
    target: Annotated[str, typer.Argument(help="module:Class, or module:consumer made by you.")],
    bootstrap: Bootstrap = None,
    store: StoreUrl = None,
    mode: Annotated[
        str | None, typer.Option(help="exactly-once, at-least-once or at-most-once.")
    ] = None,
    group: Group = None,
    topic: Topic = None,
    partition: Partition = None,
    offset: Offset = None,
    id: Id = None,
    limit: Limit = None,
) -> None:
    """Give dead letters to the consumer's handler again, in order; exit 1 if any stays.

    Each is applied in one transaction with its removal, so once, however often this is called.
    One that fails again stays, and so do those of its key behind it; others go on. When the last
    letter of a key is applied, its quarantine is over. Consumers of the group may go on meanwhile.
    """
    from eoconsumer.cli import calling
    from eoconsumer.cli.target import Target
    from eoconsumer.core.letters import Selection

    options = {"mode": mode and mode.replace("-", "_"), "group": group}
    settings = {name: value for name, value in options.items() if value is not None}
    given = typed(context, "bootstrap", "store", *options)
    consumer = Target(target, bootstrap, store, settings, given).consumer()
    which = Selection(None, topic, partition, offset, id)
    _tell("applied", calling.redrive(consumer, which, limit))


@dlq.command()
@reported
def drop(
    store: StoreUrl = None,
    group: Group = None,
    topic: Topic = None,
    partition: Partition = None,
    offset: Offset = None,
    id: Id = None,
    limit: Limit = None,
    execute: Annotated[bool, typer.Option("--execute", help="Do it, not only show it.")] = False,
) -> None:
    """Remove dead letters of a group for good; only shows which, without --execute.

    When the last letter of a key is dropped, its quarantine is over.
    """
    from eoconsumer.cli.letters import as_line
    from eoconsumer.core.letters import Selection
    from eoconsumer.runner.redrive import drop as dropped

    if group is None:
        raise ConfigurationError("Of which group? Give --group. Nothing was dropped.")
    which = Selection(group, topic, partition, offset, id)
    with _opened(store) as opened:
        if execute:
            opened.setup()
            _tell("dropped", dropped(opened, group, which, limit))
            return
        count = 0
        for letter in _all(opened, which, limit):
            typer.echo(as_line(letter))
            count += 1
    typer.echo(f"{count} dead letters would be dropped. Add --execute to do it.", err=True)


@contextmanager
def _opened(url: str | None) -> Iterator[Store[Any]]:
    from eoconsumer.core.capabilities import Capability, insist
    from eoconsumer.stores import open_store

    if url is None:
        raise ConfigurationError("Which database? Give --store URL, or set EOCONSUMER_STORE.")
    store = open_store(url)
    try:
        insist(store, Capability.LETTERS, "eoconsumer dlq", "Check --store")
        yield store
    finally:
        store.close()


def _all(store: Store[Any], which: Selection, limit: int | None) -> Iterator[Letter]:
    """Read page by page: letters may be large, and many."""
    after, left = None, limit
    while left != 0:
        page: Sequence[Letter] = store.letters(which, after, min(100, left or 100))
        yield from page
        if not page:
            return
        after, left = page[-1], left and left - len(page)


def _tell(what: str, result: Redriven) -> None:
    """Print the sum, and the letters that failed; exit 1 if any stays."""
    from eoconsumer.cli.letters import plain

    for letter, error in result.failed:
        why = plain(redact_url(f"{type(error).__name__}: {said(error)[:MOST_SAID]}"))
        typer.echo(f"failed again: {letter}: {why}", err=True)
    typer.echo(
        f"{result.done} {what}, {result.gone} gone meanwhile, {len(result.failed)} failed again, "
        f"{result.behind} wait behind others of their keys"
    )
    if result.stayed:
        raise typer.Exit(FAILED)
