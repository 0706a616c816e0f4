"""`eoconsumer doctor`: try everything that a consumer needs, and say what to do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer

from eoconsumer.cli import MISCONFIGURED
from eoconsumer.cli.arguments import Bootstrap, StoreUrl
from eoconsumer.cli.setup import Described
from eoconsumer.errors import ConfigurationError
from eoconsumer.redact import redact_url


def doctor(
    target: Annotated[
        str | None, typer.Argument(help="module:Class, for its topics, group and settings.")
    ] = None,
    bootstrap: Bootstrap = None,
    store: StoreUrl = None,
    topic: Annotated[str | None, typer.Option(help="A topic that has to be there.")] = None,
    group: Annotated[str | None, typer.Option(help="The group whose positions to look at.")] = None,
    roles: Annotated[
        bool, typer.Option("--roles", help="Show how to make a database user with least privilege.")
    ] = False,
) -> None:
    """Check broker, database, topic and positions: a line for each; exit 78 if one fails.

    Nothing is only looked up: a transaction is opened, moves a position and is rolled back, and
    one that is left open is taken over. For that the store gets a row of the group
    eoconsumer-doctor, and its collections where they are missing.
    """
    from eoconsumer.cli.subject import blocking_store
    from eoconsumer.cli.target import Target
    from eoconsumer.cli.trials import Broker, Database
    from eoconsumer.stores import open_store

    kafka: dict[str, Any] = {}
    topics = [topic] if topic else []
    if target is not None:
        consumer = Target(target, bootstrap, store).consumer()
        config, opened = consumer.config, blocking_store(consumer, store)
        bootstrap, group, kafka = config.bootstrap_servers, group or config.group, {**config.kafka}
        declared = consumer.topics
        topics = topics or ([declared] if isinstance(declared, str) else list(declared))
    elif bootstrap is None or store is None:
        raise ConfigurationError(
            "What is to be examined? Give -b SERVERS and --store URL, or module:Class."
        )
    else:
        opened = open_store(store)
    broker, database = Broker(bootstrap, group, kafka), Database(opened)
    examination = Examination()
    try:
        reachable = examination.check("broker", broker.reach)
        if reachable and group:
            examination.check("group", broker.group)
        usable = [examination.note(*found) for found in database.diagnose()]
        if roles and isinstance(opened, Described):
            typer.echo(f"\n{opened.roles()}\n")
        if all(usable) and examination.check("setup", database.setup):
            examination.check("transaction", database.roll_back)
            examination.check("take-over", database.take_over)
        for name in topics if reachable else ():
            there = examination.check("topic", partial(broker.topic, name))
            if there and group and all(usable):
                stored = partial(database.positions, group)
                examination.check("positions", partial(broker.positions, name, stored))
    finally:
        opened.close()
    if not examination.healthy:
        raise typer.Exit(MISCONFIGURED)


class Examination:
    """Shows a line for each check, and remembers whether all went well."""

    def __init__(self) -> None:
        """Nothing was found yet."""
        self.healthy = True

    def check(self, name: str, trial: Callable[[], str]) -> bool:
        """Run ``trial``, which returns what is right or raises; return whether it passed."""
        try:
            return self.note(name, True, trial())
        except Exception as error:  # whatever it is, it is what the user has to know
            known = str(error) or type(error).__name__
            return self.note(name, False, known)

    def note(self, name: str, passed: bool, said: str) -> bool:
        """Show one line; return ``passed``."""
        self.healthy &= passed
        said = " ".join(redact_url(said).split())
        typer.echo(f"{'ok' if passed else 'FAILED':6}  {name:11}  {said}")
        return passed
