"""`eoconsumer run`: a consumer from the command line, in one process or several."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from eoconsumer.cli.arguments import Bootstrap, StoreUrl, typed
from eoconsumer.errors import ConfigurationError


def run(
    context: typer.Context,
    target: Annotated[str, typer.Argument(help="module:Class, or module:consumer made by you.")],
    bootstrap: Bootstrap = None,
    store: StoreUrl = None,
    mode: Annotated[
        str | None, typer.Option(help="exactly-once, at-least-once or at-most-once.")
    ] = None,
    group: Annotated[str | None, typer.Option(help="The consumer group.")] = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="Where a partition never seen starts: earliest, latest, error, group, a time "
            "(2026-01-31T08:00+01:00), or milliseconds since 1970."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="How many processes.")] = 1,
) -> None:
    """Run a consumer until SIGTERM or Ctrl-C; it finishes what it has in hand and exits 0.

    The target is a subclass of Consumer or AsyncConsumer, which gets -b, --store and the other
    options over its own attributes, or a consumer that your module has made, which takes none of
    them. Modules are found in the current folder, too. Several workers share the partitions of the
    topic; when one fails, the others are stopped, and the exit code is that of the first.
    """
    from eoconsumer.cli import workers as processes
    from eoconsumer.cli.target import Target

    options = {
        "mode": mode and mode.replace("-", "_"),
        "group": group,
        "start": start and _start(start),
    }
    settings = {name: value for name, value in options.items() if value is not None}
    given = typed(context, "bootstrap", "store", *options)
    processes.run(Target(target, bootstrap, store, settings, given), workers)


def _start(text: str) -> str | int | datetime:
    if text.isdigit():
        return int(text)
    if not text[:1].isdigit():
        return text
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"--start {text}: {error}. Nothing was consumed.") from error
