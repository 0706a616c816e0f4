"""``AsyncConsumer`` against ``Consumer``, in one run.

    python -m tests.benchmark.asyncio_against_threads --pairs 5

Both sides do the same work on the same servers: 200 bytes of JSON, one insert a message, and the
position, committed together. They take turns (A B A B), and the ratio is taken pair by pair, so it
holds on a machine whose speed drifts.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
import uuid
from collections.abc import Sequence
from typing import Any

import orjson
from pymongo import InsertOne

from eoconsumer import AsyncConsumer, Consumer, Message, Snapshot
from eoconsumer.servers import KafkaBroker, MongoReplicaSet
from eoconsumer.stores.mongo import AsyncMongoStore, MongoStore
from tests.benchmark.throughput import PARTITIONS, TOPIC, produce

NAMESPACE = "benchmark.rows"


def row(message: Message[Any]) -> Any:
    """Return the row of one message."""
    return orjson.loads(message.value)


class Batch(Consumer):
    """Threads; the user writes one ``insert_many`` for each run."""

    def handle_batch(self, messages: Sequence[Message[Any]], session: Any) -> None:
        """Insert one row a message."""
        rows = self.store.database["rows"]  # type: ignore[attr-defined]  # a MongoStore
        rows.insert_many([row(m) for m in messages], session=session)


class AsyncBatch(AsyncConsumer):
    """The same on an event loop."""

    async def handle_batch(self, messages: Sequence[Message[Any]], session: Any) -> None:
        """Insert one row a message."""
        rows = self.store.database["rows"]  # type: ignore[attr-defined]  # an AsyncMongoStore
        await rows.insert_many([row(m) for m in messages], session=session)


class Writes(Consumer):
    """Threads; the handler returns its write."""

    def writes(self, message: Message[Any]) -> Any:
        """Return one insert."""
        return InsertOne(row(message), namespace=NAMESPACE)


class AsyncWrites(AsyncConsumer):
    """The same on an event loop."""

    def writes(self, message: Message[Any]) -> Any:
        """Return one insert."""
        return InsertOne(row(message), namespace=NAMESPACE)


PAIRS: dict[str, tuple[type[Consumer], type[AsyncConsumer]]] = {
    "handle_batch": (Batch, AsyncBatch),
    "writes": (Writes, AsyncWrites),
}


class Clock:
    """Measures from the first claim to the last message."""

    def __init__(self, count: int) -> None:
        """End after ``count`` messages."""
        self._count = count
        self._began: float | None = None

    def done(self, snapshot: Snapshot) -> bool:
        """Whether all are done; to be asked again and again."""
        if snapshot.claims and self._began is None:
            self._began = time.perf_counter()
        return snapshot.committed >= self._count

    def rate(self, snapshot: Snapshot) -> float:
        """Return messages a second."""
        assert self._began is not None
        return snapshot.committed / (time.perf_counter() - self._began)


def threads(kind: type[Consumer], servers: str, url: str, count: int) -> float:
    """Return messages a second with threads."""
    store, clock = MongoStore.connect(url), Clock(count)
    consumer = kind(servers, store, topics=TOPIC, group=uuid.uuid4().hex)
    rate = clock.rate(consumer.run_until(clock.done))
    store.close()
    return rate


def loop(kind: type[AsyncConsumer], servers: str, url: str, count: int) -> float:
    """Return messages a second on an event loop."""

    async def run() -> float:
        store, clock = AsyncMongoStore.connect(url), Clock(count)
        consumer = kind(servers, store, topics=TOPIC, group=uuid.uuid4().hex)
        rate = clock.rate(await consumer.run_until(clock.done))
        await store.close()
        return rate

    return asyncio.run(run())


def main() -> None:
    """Start the servers, take turns, print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--messages", type=int, default=60_000)
    options = parser.parse_args()
    with KafkaBroker() as kafka, MongoReplicaSet(nodes=3) as mongo:
        kafka.create_topic(TOPIC, partitions=PARTITIONS)
        produce(kafka.bootstrap_servers, options.messages)
        servers, url = kafka.bootstrap_servers, mongo.url_for("benchmark")
        for form, (plain, awaited) in PAIRS.items():
            ratios = []
            for pair in range(options.pairs + 1):
                of_threads = threads(plain, servers, url, options.messages)
                of_loop = loop(awaited, servers, url, options.messages)
                print(
                    f"{form}: threads {of_threads:8,.0f}/s   asyncio {of_loop:8,.0f}/s   "
                    f"ratio {of_loop / of_threads:5.2f}"
                    + ("   (warm-up, not counted)" if not pair else ""),
                    flush=True,
                )
                ratios += [of_loop / of_threads] if pair else []
            print(
                f"{form}: median ratio {statistics.median(ratios):.2f}, {min(ratios):.2f} to "
                f"{max(ratios):.2f}"
            )


if __name__ == "__main__":
    main()
