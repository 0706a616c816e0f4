"""What each stage of a reader costs for a message, in CPU time of the client.

    python -m tests.benchmark.stages

Real messages of 200 bytes go through the stages of the form "writes", batch by batch, up to the
command that would be sent to MongoDB; the loop by hand does its own part of that. Each stage is
measured on its own; what lies between the sum of the parts and the whole is the garbage collector
and the caches.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from confluent_kafka import Consumer, TopicPartition
from pymongo import InsertOne

from eoconsumer.cli.bench.load import produce
from eoconsumer.codecs import Route
from eoconsumer.core.partition import Partition, fit
from eoconsumer.core.positions import Position
from eoconsumer.kafka.raw import raw_messages
from eoconsumer.kafka.source import CHUNK
from eoconsumer.message import OFFSET, Message, Messages, RawMessage
from eoconsumer.message import TopicPartition as Key
from eoconsumer.runner.fetching import Polled, by_partition
from eoconsumer.runner.recording import Recording
from eoconsumer.servers import KafkaBroker
from eoconsumer.stores.mongo.operations import Buffer, planned

TOPIC, COUNT, BATCH, ROUNDS = "moves", 100_000, 10_000, 7
KEY = Key(TOPIC, 0)


class Session:
    """Has a buffer, as a session with MongoDB has."""

    def buffer(self) -> Buffer:
        """Return an empty one."""
        return Buffer()


def handler(message: Message[bytes]) -> InsertOne[dict[str, Any]]:
    """Do what a user's handler does."""
    return InsertOne(orjson.loads(message.value), namespace="shop.ledger")


ROUTE = Route((TOPIC,), "writes", handler)


def by_hand(batch: Sequence[Any]) -> object:
    """Decode, and note where each partition is."""
    documents, upto = [], dict[int, int]()
    for message in batch:
        if error := message.error():
            raise RuntimeError(error)
        documents.append(orjson.loads(message.value() or b""))
        upto[message.partition() or 0] = (message.offset() or 0) + 1
    return documents


def kept(batch: Sequence[Any]) -> Polled:
    """Look for errors, keep what Kafka has of each, put together by partition."""
    raw: list[RawMessage] = []
    for start in range(0, len(batch), CHUNK):
        some = batch[start : start + CHUNK]
        assert not [message for message in some if message.error() is not None]
        raw += raw_messages(some)
    return by_partition(raw)


def viewed(batch: Sequence[Any]) -> Messages[Any]:
    """Hold them, with their values."""
    return ROUTE.view(batch)


def taken(batch: Sequence[Any]) -> object:
    """Hold them, and count their bytes against the bounds of a batch."""
    return fit(ROUTE.view(batch), BATCH, 1 << 30)


def asked(batch: Sequence[Any]) -> Recording:
    """Make a view of each for the handler, ask it, and record what it returns."""
    recording = Recording(Session())
    recording.ask(ROUTE.view(batch), handler)
    return recording


def handled(batch: Sequence[Any]) -> object:
    """Call the handler, and keep nothing: what is the user's own."""
    for message in ROUTE.view(batch):
        handler(message)
    return None


def all_of_it(batch: Sequence[Any]) -> object:
    """Do everything, up to the command for MongoDB."""
    ((_, raw),) = kept(batch).items()
    partition = Partition(KEY)
    partition.claimed(Position(raw[0][OFFSET], 1))
    partition.add(ROUTE.view(raw))
    run = partition.take(BATCH, 1 << 30)
    assert run is not None
    recording = Recording(Session())
    recording.ask(run.live, handler)
    plan = planned(recording.writes, "shop", inside=True)
    partition.settle(run.upto)
    return plan


Stage = Callable[[Sequence[Any]], object]
OF_THE_CLIENT: Sequence[Stage] = (by_hand, all_of_it, kept)
OF_WHAT_IS_KEPT: Sequence[Stage] = (viewed, taken, handled, asked)


def cost(stage: Stage, messages: Sequence[Any]) -> float:
    """Return microseconds of CPU time for a message, the least of some rounds."""
    least = float("inf")
    for _ in range(ROUNDS):
        gc.collect()
        began = time.process_time()
        for start in range(0, len(messages), BATCH):
            stage(messages[start : start + BATCH])
        least = min(least, time.process_time() - began)
    return least / len(messages) * 1e6


def fetched(bootstrap: str) -> list[Any]:
    """Return all messages, as librdkafka has them."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "stages", "enable.auto.commit": False}
    consumer, messages = Consumer(settings), list[Any]()
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    while len(messages) < COUNT:
        messages += consumer.consume(BATCH, 0.5)
    consumer.close()
    return messages


def main() -> None:
    """Measure one stage after the other."""
    with KafkaBroker() as kafka:
        kafka.create_topic(TOPIC)
        produce(kafka.bootstrap_servers, TOPIC, 1, COUNT)
        messages = fetched(kafka.bootstrap_servers)
    for stages, given in ((OF_THE_CLIENT, messages), (OF_WHAT_IS_KEPT, raw_messages(messages))):
        for stage in stages:
            told = (stage.__doc__ or "").split("\n", 1)[0]
            print(f"{stage.__name__:10} {cost(stage, given):5.2f} us  {told}")


if __name__ == "__main__":
    main()
