"""``AsyncConsumer`` against ``Consumer``, in one run.

    python -m tests.benchmark.asyncio_against_threads --pairs 5

Both sides do the same work on the same servers: 200 bytes of JSON, one row a message, and the
position, committed together; both have the library's own number of readers. They take turns
(A B A B), and the ratio is taken pair by pair, so it holds on a machine whose speed drifts. On one
where others work at the same time, the client's own CPU time for a message tells more.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from pymongo import InsertOne
from sqlalchemy import BigInteger, Column, MetaData, String, Table, insert

from eoconsumer import AsyncConsumer, Consumer, Message, Snapshot
from eoconsumer.cli.bench.load import produce
from eoconsumer.cli.bench.stage import BROKER
from eoconsumer.servers import KafkaBroker, MariaDBServer, MongoReplicaSet, PostgresServer
from eoconsumer.stores import open_async_store, open_store
from eoconsumer.stores.sql import SQLStore

TOPIC, PARTITIONS = "stock-moves", 6
NAMESPACE = "benchmark.rows"
ROWS = Table("rows_of_both", MetaData(), Column("n", BigInteger), Column("note", String(1_000)))
INSERT = insert(ROWS)


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


def document(_: object, message: Message[Any]) -> Any:
    """Return one insert for MongoDB."""
    return InsertOne(row(message), namespace=NAMESPACE)


def statement(_: object, message: Message[Any]) -> Any:
    """Return one insert for a SQL database."""
    value = row(message)
    return [(INSERT, {"n": value["n"], "note": value["note"]})]


class Pair(NamedTuple):
    """Two consumers that do the same, and what they are called."""

    form: str
    threads: type[Consumer]
    loop: type[AsyncConsumer]


def writing(writes: Callable[[object, Message[Any]], Any]) -> Pair:
    """Return consumers that return their writes."""
    threads = type("Writes", (Consumer,), {"writes": writes})
    return Pair("writes", threads, type("AsyncWrites", (AsyncConsumer,), {"writes": writes}))


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
    store, clock = open_store(url), Clock(count)
    consumer = kind(servers, store, topics=TOPIC, group=uuid.uuid4().hex)
    rate = clock.rate(consumer.run_until(clock.done))
    store.close()
    return rate


def loop(kind: type[AsyncConsumer], servers: str, url: str, count: int) -> Rate:
    """Return messages a second on an event loop."""

    async def run() -> Rate:
        store, clock = open_async_store(url), Clock(count)
        consumer = kind(servers, store, topics=TOPIC, group=uuid.uuid4().hex)
        rate = clock.rate(await consumer.run_until(clock.done))
        await store.close()
        return rate

    return asyncio.run(run())


def compare(name: str, pair: Pair, servers: str, url: str, given: argparse.Namespace) -> None:
    """Let both take turns, and print what came of it."""
    rates, cpu = [], []
    for number in range(given.pairs + 1):
        plainly = threads(pair.threads, servers, url, given.messages)
        awaiting = loop(pair.loop, servers, url, given.messages)
        ratio = awaiting.messages / plainly.messages
        print(
            f"{name} {pair.form}: threads {plainly.messages:7,.0f}/s {plainly.cpu:5.1f} us   "
            f"asyncio {awaiting.messages:7,.0f}/s {awaiting.cpu:5.1f} us   ratio {ratio:5.2f}"
            + ("" if number else "   (warm-up, not counted)"),
            flush=True,
        )
        if number:
            rates.append(ratio)
            cpu.append(plainly.cpu / awaiting.cpu)
    print(
        f"{name} {pair.form}: median ratio {statistics.median(rates):.2f}, {min(rates):.2f} to "
        f"{max(rates):.2f}; of CPU {statistics.median(cpu):.2f}, {min(cpu):.2f} to {max(cpu):.2f}",
        flush=True,
    )


@contextmanager
def mongodb() -> Iterator[str]:
    """Start a replica set."""
    with MongoReplicaSet(nodes=3) as mongo:
        yield mongo.url_for("benchmark")


@contextmanager
def sql(server: type[PostgresServer | MariaDBServer]) -> Iterator[str]:
    """Start a server."""
    with server() as running:
        yield running.bare_url


@contextmanager
def sqlite() -> Iterator[str]:
    """Make room for a file."""
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{Path(folder, 'shop.db')}"


STORES: dict[str, Callable[[], Any]] = {
    "mongodb": mongodb,
    "postgresql": partial(sql, PostgresServer),
    "mariadb": partial(sql, MariaDBServer),
    "sqlite": sqlite,
}


def main() -> None:
    """Measure one database after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--only", default=",".join(STORES), help="databases, with commas")
    given = parser.parse_args()
    with KafkaBroker(settings=BROKER) as kafka:
        kafka.create_topic(TOPIC, partitions=PARTITIONS)
        produce(kafka.bootstrap_servers, TOPIC, PARTITIONS, given.messages)
        for name in given.only.split(","):
            with STORES[name]() as url:
                pairs = [writing(statement)]
                if name == "mongodb":
                    pairs = [Pair("handle_batch", Batch, AsyncBatch), writing(document)]
                else:
                    engine = SQLStore.connect(url).engine
                    ROWS.metadata.create_all(engine)
                    engine.dispose()
                for pair in pairs:
                    compare(name, pair, kafka.bootstrap_servers, url, given)


if __name__ == "__main__":
    main()
