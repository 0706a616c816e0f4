"""Whose positions a command is about: a consumer by its name, or a group and two addresses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from eoconsumer.errors import ConfigurationError

if TYPE_CHECKING:
    from eoconsumer.cli.target import AnyConsumer
    from eoconsumer.protocols import Store

TargetName = Annotated[
    str | None,
    typer.Argument(
        metavar="[TARGET]", help="module:Class, for its group, its store and its settings of Kafka."
    ),
]
GroupName = Annotated[str | None, typer.Option(help="The consumer group.")]


class Subject(NamedTuple):
    """A group, the store that has its positions, and the settings of a client of Kafka."""

    group: str
    store: Store[Any]
    kafka: Mapping[str, Any]


@contextmanager
def subject(
    target: str | None, bootstrap: str | None, store: str | None, group: str | None
) -> Iterator[Subject]:
    """Open what is named, and close it; raises ``ConfigurationError`` where something is missing.

    Of ``target`` (``module:Class``) come the group and the settings of Kafka, and the store, too,
    where a made consumer is named, unless its store is one of asyncio. Connects to nothing yet.
    """
    from eoconsumer.cli.target import Target
    from eoconsumer.core.modes import Mode
    from eoconsumer.kafka import client_settings
    from eoconsumer.stores import open_store

    if target is not None:
        consumer = Target(target, bootstrap, store).consumer()
        config = consumer.config
        servers, mode, user = config.bootstrap_servers, config.mode, config.kafka
        opened, group = blocking_store(consumer, store), group or config.group
    elif not (bootstrap and store and group):
        raise ConfigurationError(
            "Which group is meant? Give --group NAME, -b SERVERS and --store URL, or module:Class. "
            "Nothing was done."
        )
    else:
        servers, mode, user, opened = bootstrap, Mode.EXACTLY_ONCE, {}, open_store(store)
    try:
        yield Subject(group, opened, client_settings(servers, group, mode, user))
    finally:
        opened.close()


def blocking_store(consumer: AnyConsumer, url: str | None) -> Store[Any]:
    """Return the store of ``consumer``, or that of ``url`` where its own has to be awaited.

    Such a one was never connected to, so nothing of it has to be closed. Raises
    ``ConfigurationError`` where there is no ``url``.
    """
    from eoconsumer.consumer import Consumer
    from eoconsumer.stores import open_store

    if isinstance(consumer, Consumer):
        return consumer.store
    if url is None:
        raise ConfigurationError(
            "The consumer has a store of asyncio, which this command cannot use; nothing was done. "
            "Give the same database as --store URL, too."
        )
    return open_store(url)
