"""Realistic documents of any number, the same for the same seed, and their way into Kafka.

Few items sell often and most sell seldom (Zipf), stores run out and buy again (so the right stock
is never negative), and prices move. The documents do not depend on the machine or the clock.
"""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from .documents import BizDoc, Kind, Line

# Chosen so that librdkafka's hash of the key spreads them evenly over 2, 4 or 8 partitions.
FAMILIES = (
    *("beer", "bikes", "books", "bread", "candles", "flowers", "garden", "jam"),
    *("maps", "milk", "nuts", "paper", "pasta", "pens", "salt", "vegetables"),
)
STORES = tuple(f"store-{number:02}" for number in range(1, 7))
_ITEMS = range(1, 21)
_POPULARITY = list(itertools.accumulate(1 / rank for rank in _ITEMS))
_KINDS = (Kind.SALE, Kind.PURCHASE, Kind.TRANSFER, Kind.ADJUSTMENT)
_KIND_WEIGHTS = list(itertools.accumulate((70, 12, 13, 5)))
_LINE_WEIGHTS = list(itertools.accumulate((30, 25, 18, 12, 9, 6)))
_OPENING = datetime(2026, 1, 5, 8, tzinfo=UTC)


def documents(count: int, seed: int, skip: int = 0) -> Iterator[BizDoc]:
    """Yield `count` documents after the first `skip`; the same `seed` gives the same documents."""
    return itertools.islice(_endless(seed), skip, skip + count)


def paced(stream: Iterable[BizDoc], rate: float) -> Iterator[BizDoc]:
    """Yield `stream` at a steady pace: `rate` documents a second."""
    due = time.monotonic()
    for document in stream:
        due += 1 / rate
        time.sleep(max(0.0, due - time.monotonic()))
        yield document


def _endless(seed: int) -> Iterator[BizDoc]:
    chance = random.Random(seed)
    held: Counter[tuple[str, str]] = Counter()
    at = _OPENING
    for number in itertools.count(1):
        at += timedelta(seconds=chance.randint(1, 90))
        document = _document(chance, held, number, at)
        for line in document.lines:
            sign = -1 if document.kind in (Kind.SALE, Kind.TRANSFER) else 1
            held[document.store, line.item] += sign * line.quantity
            if document.to_store:
                held[document.to_store, line.item] += line.quantity
        yield document


def _document(
    chance: random.Random, held: Counter[tuple[str, str]], number: int, at: datetime
) -> BizDoc:
    kind = chance.choices(_KINDS, cum_weights=_KIND_WEIGHTS)[0]
    family, (store, other) = chance.choice(FAMILIES), chance.sample(STORES, 2)
    wanted = chance.choices(range(1, 7), cum_weights=_LINE_WEIGHTS)[0]
    ranks = sorted(set(chance.choices(_ITEMS, cum_weights=_POPULARITY, k=wanted)))
    takes = [(rank, _quantity(chance, kind)) for rank in ranks]
    if any(held[store, f"{family}-{rank:03}"] + _effect(kind, units) < 0 for rank, units in takes):
        kind = Kind.PURCHASE  # the shelf is too empty for it: the store buys instead
        takes = [(rank, _quantity(chance, kind)) for rank in ranks]
    return BizDoc(
        id=f"D{number:09}",
        kind=kind,
        family=family,
        store=store,
        to_store=other if kind is Kind.TRANSFER else None,
        vendor=f"vendor-{chance.randint(1, 5)}-{family}" if kind is Kind.PURCHASE else None,
        lines=tuple(
            Line(item=f"{family}-{rank:03}", quantity=units, price=_price(chance, kind, rank))
            for rank, units in takes
        ),
        at=at,
    )


def _quantity(chance: random.Random, kind: Kind) -> int:
    if kind is Kind.PURCHASE:
        return chance.randint(20, 120)
    if kind is Kind.ADJUSTMENT:
        return chance.choice((-3, -2, -1, -1, 1, 2))
    return chance.randint(1, 12 if kind is Kind.TRANSFER else 5)


def _effect(kind: Kind, units: int) -> int:
    return -units if kind in (Kind.SALE, Kind.TRANSFER) else units


def _price(chance: random.Random, kind: Kind, rank: int) -> int:
    list_price = 150 + 7919 * rank % 4900
    if kind is Kind.SALE:
        return list_price * 8 // 5
    return list_price * chance.randint(85, 115) // 100


def ensure_topic(bootstrap: str, topic: str, partitions: int) -> None:
    """Create `topic` unless it is there; raise `KafkaException` when the broker refuses."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for created in admin.create_topics([NewTopic(topic, num_partitions=partitions)]).values():
        try:
            created.result(30)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


def produce(
    bootstrap: str,
    topic: str,
    stream: Iterable[BizDoc],
    progress: Callable[[int], None] = lambda _acknowledged: None,
) -> int:
    """Produce `stream` to `topic`, keyed by family; return how many the broker acknowledged.

    `progress` is called with that number as it grows. Raises `KafkaException` for the first
    document that the broker did not take: what follows it may or may not be in the topic.
    """
    producer = Producer(
        {"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 20}
    )
    acknowledged, failures = 0, list[KafkaError]()

    def delivered(error: KafkaError | None, _message: Message) -> None:
        nonlocal acknowledged
        if error is not None:
            failures.append(error)
        else:
            acknowledged += 1

    for number, document in enumerate(stream, start=1):
        value = document.model_dump_json(exclude_none=True).encode()
        while True:
            try:
                producer.produce(topic, value, document.key, on_delivery=delivered)
                break
            except BufferError:  # the local queue is full: let some of it be acknowledged
                producer.poll(0.1)
        if number % 1000 == 0:
            producer.poll(0)
            progress(acknowledged)
        if failures:
            break
    unsent = producer.flush(60)
    progress(acknowledged)
    if failures:
        raise KafkaException(failures[0])
    if unsent:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
    return acknowledged
