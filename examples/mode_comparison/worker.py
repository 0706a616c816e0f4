"""One worker process of one variant."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping

from stock_ledger import autocommit
from stock_ledger.watch import Watch
from stock_ledger.worker import run_to_the_end

from eoconsumer.stores.mongo import MongoStore

from .consumers import LedgerOnly
from .variants import Variant


def work(
    variant: Variant,
    bootstrap: str,
    store_url: str,
    topic: str,
    group: str,
    *,
    watch: Watch,
    kafka: Mapping[str, str],
    until_end: bool,
) -> None:
    """Work until SIGINT or SIGTERM; with `until_end` also end where the topic ends now.

    Raises what `Consumer.run` raises; in auto-commit `KafkaException` and `PyMongoError`.
    """
    store = MongoStore.connect(store_url)
    books = LedgerOnly(store.database)
    books.setup()
    if variant.consumer is None:
        stopped = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        autocommit.run(
            *(bootstrap, books, topic, group),
            watch=watch,
            kafka=kafka,
            stop=stopped.is_set,
            until_end=until_end,
        )
        return
    mode = variant.mode.replace("-", "_")
    consumer = variant.consumer(
        bootstrap, store, watch, topics=[topic], group=group, mode=mode, kafka=kafka
    )
    if until_end:
        run_to_the_end(consumer, bootstrap, topic)
    else:
        consumer.run()
