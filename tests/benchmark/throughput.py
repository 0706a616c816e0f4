"""Exactly-once with ``handle_batch`` against one transaction for each message, in one run.

    python -m tests.benchmark.throughput --pairs 5

Both sides do the same work on the same servers: 200 bytes of JSON, one insert a message, and the
position, committed together. They take turns (A B A B), and the ratio is taken pair by pair, so it
holds on a machine whose speed drifts.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
import uuid
from collections.abc import Sequence
from typing import Any

import orjson
from confluent_kafka import Consumer as KafkaConsumer
from confluent_kafka import Producer
from pymongo import MongoClient, UpdateOne
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from eoconsumer import Consumer, Message
from eoconsumer.servers import KafkaBroker, MongoReplicaSet
from eoconsumer.stores.mongo import MongoStore

TOPIC, PARTITIONS = "stock-moves", 6


class Batched(Consumer):
    """The library: the user writes one ``insert_many`` for each run."""

    topics = (TOPIC,)

    def handle_batch(self, messages: Sequence[Message[bytes]], session: Any) -> None:
        """Insert one row a message."""
        rows = [orjson.loads(message.value) for message in messages]
        self.store.database["batched"].insert_many(rows, session=session)  # type: ignore[attr-defined]  # a MongoStore


def produce(servers: str, count: int) -> None:
    """Produce ``count`` messages of about 200 bytes."""
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 20, "acks": "all"})
    for n in range(count):
        row = {"n": n, "item": f"item-{n % 997}", "quantity": n % 50, "note": "x" * 140}
        while True:
            try:
                producer.produce(TOPIC, orjson.dumps(row), key=row["item"])
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    producer.flush()


def batched(servers: str, url: str, count: int) -> float:
    """Return messages a second of the library; ``count`` messages from the first to the last."""
    store = MongoStore.connect(url)
    consumer = Batched(servers, store, group=f"batched-{uuid.uuid4().hex}")
    first: list[float] = []

    def done(snapshot: Any) -> bool:
        if snapshot.claims and not first:
            first.append(time.perf_counter())
        return bool(snapshot.committed >= count)

    snapshot = consumer.run_until(done)
    seconds = time.perf_counter() - first[0]
    store.close()
    return float(snapshot.committed / seconds)


def one_by_one(servers: str, url: str, count: int, threads: int) -> float:
    """Return messages a second of the plain design: one transaction for each message."""
    client: MongoClient[dict[str, Any]] = MongoClient(url)
    database = client.get_default_database()
    group, stop, done = f"single-{uuid.uuid4().hex}", threading.Event(), []
    rows = [{"_id": f"{group}-{p}", "next": 0} for p in range(PARTITIONS)]
    database["single_offsets"].insert_many(rows)

    def work() -> None:
        settings = {"bootstrap.servers": servers, "group.id": group}
        consumer = KafkaConsumer(
            {**settings, "enable.auto.commit": False, "auto.offset.reset": "earliest"}
        )
        consumer.subscribe([TOPIC])
        with client.start_session() as session:
            while not stop.is_set():
                message = consumer.poll(0.1)
                if message is None or message.error():
                    continue
                with session.start_transaction(
                    ReadConcern("snapshot"), WriteConcern("majority"), ReadPreference.PRIMARY
                ):
                    row = orjson.loads(message.value() or b"")
                    database["single"].insert_one(row, session=session)
                    place = {"_id": f"{group}-{message.partition()}"}
                    move = UpdateOne(place, {"$set": {"next": (message.offset() or 0) + 1}})
                    database["single_offsets"].bulk_write([move], session=session)
                done.append(time.perf_counter())
                if len(done) >= count:
                    stop.set()
        consumer.close()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    client.close()
    return (len(done) - 1) / (max(done) - min(done))


def main() -> None:
    """Start the servers, take turns, print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--messages", type=int, default=60_000, help="for the library")
    parser.add_argument("--single", type=int, default=800, help="for one transaction a message")
    parser.add_argument("--threads", type=int, default=2, help="of one transaction a message")
    options = parser.parse_args()
    with KafkaBroker() as kafka, MongoReplicaSet(nodes=3) as mongo:
        kafka.create_topic(TOPIC, partitions=PARTITIONS)
        produce(kafka.bootstrap_servers, options.messages)
        servers, url = kafka.bootstrap_servers, mongo.url_for("benchmark")
        ratios = []
        for pair in range(options.pairs + 1):
            fast = batched(servers, url, options.messages)
            slow = one_by_one(servers, url, options.single, options.threads)
            print(
                f"batched {fast:8,.0f}/s   one by one {slow:6,.0f}/s   ratio {fast / slow:6.1f}"
                + ("   (warm-up, not counted)" if not pair else ""),
                flush=True,
            )
            ratios += [fast / slow] if pair else []
        print(
            f"median ratio {statistics.median(ratios):.1f}, {min(ratios):.1f} to {max(ratios):.1f}"
        )


if __name__ == "__main__":
    main()
