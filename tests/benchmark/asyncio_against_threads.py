"""``AsyncConsumer`` against ``Consumer``, in one run.

    python -m tests.benchmark.asyncio_against_threads --pairs 5

Both sides do the same work on the same servers: 200 bytes of JSON, one insert a message, and the
position, committed together. They take turns (A B A B), and the ratio is taken pair by pair, so it
holds on a machine whose speed drifts. On one where others work at the same time, the
client's own CPU time for a message tells more.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
from pymongo import InsertOne

from eoconsumer import AsyncConsumer, Consumer, Message, Snapshot
from eoconsumer.cli.bench.load import produce
from eoconsumer.servers import KafkaBroker, MongoReplicaSet
from eoconsumer.stores.mongo import AsyncMongoStore, MongoStore

TOPIC, PARTITIONS = "stock-moves", 6
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


class Rate(NamedTuple):
    """Messages a second, and microseconds of the client's CPU for each."""

    messages: float
    cpu: float


class Clock:
    """Measures from the first claim to the last message."""

    def __init__(self, count: int) -> None:
        """End after ``count`` messages."""
        self._count = count
        self._began: float | None = None
        self._used = 0.0

    def done(self, snapshot: Snapshot) -> bool:
        """Whether all are done; to be asked again and again."""
        if snapshot.claims and self._began is None:
            self._began, self._used = time.perf_counter(), time.process_time()
        return snapshot.committed >= self._count

    def rate(self, snapshot: Snapshot) -> Rate:
        """Return how fast it was."""
        assert self._began is not None
        seconds, used = time.perf_counter() - self._began, time.process_time() - self._used
        return Rate(snapshot.committed / seconds, used / snapshot.committed * 1e6)


def threads(kind: type[Consumer], servers: str, url: str, count: int) -> Rate:
    """Return messages a second with threads."""
    store, clock = MongoStore.connect(url), Clock(count)
    consumer = kind(servers, store, topics=TOPIC, group=uuid.uuid4().hex)
    rate = clock.rate(consumer.run_until(clock.done))
    store.close()
    return rate


def loop(kind: type[AsyncConsumer], servers: str, url: str, count: int) -> Rate:
    """Return messages a second on an event loop."""

    async def run() -> Rate:
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
        produce(kafka.bootstrap_servers, TOPIC, PARTITIONS, options.messages)
        servers, url = kafka.bootstrap_servers, mongo.url_for("benchmark")
        for form, (plain, awaited) in PAIRS.items():
            rates, cpu = [], []
            for pair in range(options.pairs + 1):
                plainly = threads(plain, servers, url, options.messages)
                awaiting = loop(awaited, servers, url, options.messages)
                print(
                    f"{form}: threads {plainly.messages:7,.0f}/s {plainly.cpu:5.1f} us   "
                    f"asyncio {awaiting.messages:7,.0f}/s {awaiting.cpu:5.1f} us   "
                    f"ratio {awaiting.messages / plainly.messages:5.2f}"
                    + ("   (warm-up, not counted)" if not pair else ""),
                    flush=True,
                )
                if pair:
                    rates.append(awaiting.messages / plainly.messages)
                    cpu.append(plainly.cpu / awaiting.cpu)
            print(
                f"{form}: median ratio {statistics.median(rates):.2f}, {min(rates):.2f} to "
                f"{max(rates):.2f}; of CPU {statistics.median(cpu):.2f}, {min(cpu):.2f} to "
                f"{max(cpu):.2f}"
            )


if __name__ == "__main__":
    main()
