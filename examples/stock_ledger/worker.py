"""One worker process, in any of the three modes or with auto-commit as the control."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from enum import StrEnum

from eoconsumer import Consumer
from eoconsumer.stores import open_store
from eoconsumer.telemetry import Snapshot

from . import autocommit
from .consumer import WatchedStockLedger
from .opening import books_of
from .topic import TopicReader
from .watch import Watch


class RunMode(StrEnum):
    """How a worker keeps its offsets."""

    EXACTLY_ONCE = "exactly-once"
    AT_LEAST_ONCE = "at-least-once"
    AT_MOST_ONCE = "at-most-once"
    AUTO_COMMIT = "auto-commit"


def work(
    bootstrap: str,
    store_url: str,
    topic: str,
    group: str,
    mode: RunMode,
    *,
    readers: int,
    watch: Watch,
    kafka: Mapping[str, str],
    until_end: bool,
) -> None:
    """Work until SIGINT or SIGTERM; with `until_end` also end where the topic ends now.

    `readers` are threads (auto-commit has one); `kafka` are settings for librdkafka. Raises what
    `Consumer.run` raises; with auto-commit `KafkaException` and what the driver raises.
    """
    store = open_store(store_url)
    books = books_of(store)
    books.setup()
    if mode is RunMode.AUTO_COMMIT:
        stopped = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        autocommit.run(
            bootstrap,
            books,
            topic,
            group,
            watch=watch,
            kafka=kafka,
            stop=stopped.is_set,
            until_end=until_end,
        )
        return
    ledger = WatchedStockLedger(
        bootstrap,
        store,
        watch,
        topics=[topic],
        group=group,
        mode=mode.replace("-", "_"),
        readers=readers,
        kafka=kafka,
    )
    if until_end:
        run_to_the_end(ledger, bootstrap, topic)
    else:
        ledger.run()


def run_to_the_end(consumer: Consumer, bootstrap: str, topic: str) -> None:
    """Run `consumer` until it has reached where `topic` ends now; raises what `run` raises."""
    with TopicReader(bootstrap, topic) as reader:
        ends = reader.ends()

    def at_the_end(now: Snapshot) -> bool:
        reached = {place.partition: position for place, position in now.positions.items()}
        return all(reached.get(partition, 0) >= end for partition, end in ends.items())

    consumer.run_until(at_the_end)
