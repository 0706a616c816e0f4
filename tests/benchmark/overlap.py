"""Would it be faster to poll and decode the next batch while the present one is committed?

    python -m tests.benchmark.overlap --pairs 5

Two loops without the library do the same work: one transaction of inserts after the other, with
what was polled between them, or with what another thread polled meanwhile. They take turns, with
one reader and with two; the ratio is taken pair by pair.
"""

from __future__ import annotations

import argparse
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any

import orjson
from confluent_kafka import Consumer, TopicPartition
from pymongo import MongoClient
from pymongo.client_session import ClientSession

from eoconsumer.cli.bench.figures import Spread, ratios
from eoconsumer.cli.bench.load import produce
from eoconsumer.servers import KafkaBroker, MongoReplicaSet
from eoconsumer.stores.mongo.concerns import TRANSACTION

TOPIC, PARTITIONS, BATCH, QUEUE_KBYTES = "moves", 6, 5_000, 16_384
Batch = list[dict[str, Any]]


class Reader:
    """One reader with partitions of its own."""

    def __init__(self, servers: str, client: MongoClient[Any], name: str, mine: range, count: int):
        """Read ``mine`` up to their share of ``count`` messages."""
        self._ledger = client[name]["ledger"]
        self._client = client
        self._left = sum(len(range(p, count, PARTITIONS)) for p in mine)
        self._consumer = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": name,
                "enable.auto.commit": False,
                "queued.max.messages.kbytes": QUEUE_KBYTES,
            }
        )
        self._consumer.assign([TopicPartition(TOPIC, p, 0) for p in mine])

    def batches(self) -> Iterator[Batch]:
        """Poll and decode, until all is read."""
        with closing(self._consumer):
            while self._left:
                messages = self._consumer.consume(BATCH, 0.05)
                self._left -= len(messages)
                if messages:
                    yield [orjson.loads(message.value() or b"") for message in messages]

    def straight(self) -> None:
        """Commit each batch before the next one is polled."""
        with self._client.start_session(default_transaction_options=TRANSACTION) as session:
            for batch in self.batches():
                self._commit(batch, session)

    def overlapping(self) -> None:
        """Poll and decode the next batch while one is committed."""
        session = self._client.start_session(default_transaction_options=TRANSACTION)
        before: Future[None] | None = None
        with session, ThreadPoolExecutor(1) as committer:
            for batch in self.batches():
                if before is not None:
                    before.result()
                before = committer.submit(self._commit, batch, session)
            assert before is not None
            before.result()

    def _commit(self, batch: Batch, session: ClientSession) -> None:
        with session.start_transaction():
            insert = {"insert": self._ledger.name, "documents": batch}
            reply = self._ledger.database.command(insert, session=session)
            assert reply["n"] == len(batch)


def measured(kafka: KafkaBroker, mongo: MongoReplicaSet, way: str, readers: int, n: int) -> float:
    """Return messages a second of one way."""
    name = f"overlap_{uuid.uuid4().hex[:8]}"
    with MongoClient[Any](mongo.url) as client:
        client[name].create_collection("ledger")
        shares = [range(number, PARTITIONS, readers) for number in range(readers)]
        everyone = [Reader(kafka.bootstrap_servers, client, name, own, n) for own in shares]
        threads = [threading.Thread(target=getattr(reader, way)) for reader in everyone]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rate = n / (time.perf_counter() - began)
        there = client[name]["ledger"].count_documents({})
        client.drop_database(name)
    assert there == n, f"{there} of {n}"
    return rate


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--messages", type=int, default=200_000)
    given = parser.parse_args(arguments)
    with KafkaBroker() as kafka, MongoReplicaSet() as mongo:
        kafka.create_topic(TOPIC, PARTITIONS)
        produce(kafka.bootstrap_servers, TOPIC, PARTITIONS, given.messages)
        for readers in (1, 2):
            rates: dict[str, list[float]] = {"straight": [], "overlapping": []}
            for number in range(given.pairs + 1):
                for way, found in rates.items():
                    rate = measured(kafka, mongo, way, readers, given.messages)
                    if number:  # the first round is a warm-up
                        found.append(rate)
            for way, found in rates.items():
                print(f"{readers} reader(s), {way:11}: {Spread.of(found).median:8,.0f} messages/s")
            ratio = ratios(rates["overlapping"], rates["straight"])
            print(
                f"  overlapping / straight: {ratio.median:.2f} ({ratio.low:.2f}-{ratio.high:.2f})"
            )


if __name__ == "__main__":
    main()
