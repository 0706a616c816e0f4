"""A broker and a database: started together, stopped whatever happens."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from eoconsumer.servers import KafkaBroker, MongoReplicaSet
from eoconsumer.servers.jars import kafka_jars
from eoconsumer.servers.startable import Startable


@contextmanager
def servers(
    say: Callable[[str], None], broker: Mapping[str, str] | None = None, jvm: Sequence[str] = ()
) -> Iterator[tuple[KafkaBroker, MongoReplicaSet]]:
    """Start a broker and a replica set of three nodes; otherwise as ``together``.

    ``broker`` are settings of the broker and ``jvm`` flags of its Java, over those of the tests'.
    """
    kafka, mongo = KafkaBroker(settings=broker, jvm=jvm), MongoReplicaSet()
    with together(kafka, mongo, "a MongoDB replica set of three nodes", say):
        yield kafka, mongo


@contextmanager
def together(
    kafka: KafkaBroker, database: Startable, name: str, say: Callable[[str], None]
) -> Iterator[None]:
    """Start both at once and stop them at the end; ``say`` is told what takes time.

    Raises ``ConfigurationError`` where a server cannot be started.
    """
    _fetch(say)
    say(f"Starting a Kafka broker and {name}")
    with ExitStack() as stack:
        # Left in this order: first the servers end, then the threads that may wait for them.
        threads = stack.enter_context(ThreadPoolExecutor(2))
        stack.callback(database.stop)
        stack.callback(kafka.stop)
        for started in [threads.submit(kafka.start), threads.submit(database.start)]:
            started.result()
        yield


@contextmanager
def broker_alone(say: Callable[[str], None]) -> Iterator[KafkaBroker]:
    """Start a broker and no database; otherwise as ``together``."""
    _fetch(say)
    say("Starting a Kafka broker, and no database server")
    with KafkaBroker() as kafka:
        yield kafka


def _fetch(say: Callable[[str], None]) -> None:
    """Fetch Kafka's jars, if they are not there yet, and say so."""
    fetching = logging.getLogger("eoconsumer.servers.jars")
    told = _Told(say)
    fetching.addHandler(told)
    fetching.setLevel(logging.INFO)
    try:
        kafka_jars()
    finally:
        fetching.removeHandler(told)


class _Told(logging.Handler):
    """Shows what is logged as part of a command's output."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        """Say it."""
        self._say(record.getMessage())
