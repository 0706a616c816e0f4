"""Lanes for a handler that waits 10 ms and inserts one document: by threads, and on an event loop.

    python -m tests.benchmark.lanes --lanes 0 8 50

One partition, one reader, exactly-once, a replica set of three nodes; all on this machine. Prints
messages a second and the client's own CPU time for a message, once batches have found their size.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import time
import uuid
from collections.abc import Callable
from typing import Any

from confluent_kafka import Producer
from pymongo import MongoClient

from eoconsumer import AsyncConsumer, Consumer, Message, Snapshot
from eoconsumer.servers import KafkaBroker, MongoReplicaSet
from eoconsumer.stores.mongo import AsyncMongoStore, MongoStore

TOPIC, WAIT = "orders", 0.01  # seconds
WARMING, SECONDS = 3.0, 8.0  # of each trial, about
KEYS = 1_000


class Threads(Consumer):
    """A thread for each lane."""

    def handle(self, message: Message[Any], session: Any) -> None:
        """Ask another service, so to say, and insert what it said."""
        time.sleep(WAIT)
        rows = self.store.database["rows"]  # type: ignore[attr-defined]  # a MongoStore
        rows.insert_one({"offset": message.offset}, session=session)


class Tasks(AsyncConsumer):
    """A task for each lane."""

    async def handle(self, message: Message[Any], session: Any) -> None:
        """Do the same."""
        await asyncio.sleep(WAIT)
        rows = self.store.database["rows"]  # type: ignore[attr-defined]  # an AsyncMongoStore
        await rows.insert_one({"offset": message.offset}, session=session)


class Clock:
    """Is enough after ``SECONDS``; measures once the consumer is warm."""

    def __init__(self) -> None:
        self._warm_at = math.inf
        self._first: tuple[float, float, int] | None = None
        self.result = ""

    def __call__(self, seen: Snapshot) -> bool:
        """Look at the time."""
        now = time.monotonic(), time.process_time(), seen.committed
        if self._first is None:
            if seen.committed:
                self._warm_at = min(self._warm_at, now[0] + WARMING)
            self._first = now if now[0] > self._warm_at else None
            return False
        seconds, cpu, messages = (b - a for a, b in zip(self._first, now, strict=True))
        if messages and seconds > SECONDS:
            self.result = f"{messages / seconds:6.0f} messages/s {cpu / messages * 1e3:6.2f} ms CPU"
        return bool(self.result)


def trial(kind: type[Any], url: str, bootstrap: str, lanes: int) -> str:
    """Run one consumer; return what was measured."""
    name = uuid.uuid4().hex[:8]
    settings: dict[str, Any] = {"topics": TOPIC, "group": name, "readers": 1, "lanes": lanes}
    clock: Any = Clock()
    if kind is Threads:
        store = MongoStore.connect(url)
        Threads(bootstrap, store, **settings).run_until(clock)
        store.close()
    else:
        asyncio.run(_run(url, bootstrap, settings, clock))
    return str(clock.result)


async def _run(
    url: str, bootstrap: str, settings: dict[str, Any], enough: Callable[[Snapshot], bool]
) -> None:
    store = AsyncMongoStore.connect(url)
    await Tasks(bootstrap, store, **settings).run_until(enough)
    await store.close()


def main() -> None:
    """Take turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lanes", type=int, nargs="+", default=[0, 4, 8, 16, 50])
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    with KafkaBroker() as kafka, MongoReplicaSet() as mongo:
        kafka.create_topic(TOPIC)
        producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
        for number in range(60_000):
            producer.produce(TOPIC, b"{}", f"key-{number % KEYS}".encode())
        producer.flush()
        for _ in range(options.rounds):
            for lanes in options.lanes:
                for kind in (Threads, Tasks):
                    name = f"lanes_{uuid.uuid4().hex[:8]}"
                    url = mongo.url_for(name)
                    with MongoClient[Any](url) as client:
                        # Lanes that make it would conflict, each with its first batch.
                        client[name].create_collection("rows")
                    said = trial(kind, url, kafka.bootstrap_servers, lanes)
                    print(f"{lanes:3} {kind.__name__:8} {said}", flush=True)


if __name__ == "__main__":
    main()
