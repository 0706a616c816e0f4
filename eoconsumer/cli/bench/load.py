"""The messages that all sides work on: known by their number, so that each can be counted."""

from __future__ import annotations

import time
from collections.abc import Callable

import orjson
from confluent_kafka import KafkaError, KafkaException, Message, Producer

#: The bytes of a document without its padding, more or less: see ``value``.
BARE = 78


def value(number: int, size: int = 200) -> bytes:
    """Return the JSON of message ``number``, of about ``size`` bytes."""
    document = {
        "n": number,
        "at": time.time_ns(),
        "item": f"item-{number % 997}",
        "quantity": number % 50,
        "note": "x" * max(0, size - BARE),
    }
    return orjson.dumps(document)


def produce(
    bootstrap: str,
    topic: str,
    partitions: int,
    count: int,
    *,
    size: int = 200,
    rate: float | None = None,
    told: Callable[[int], None] = lambda _: None,
) -> None:
    """Produce ``count`` messages, ``rate`` a second (as fast as it goes by default).

    Message ``n`` goes to partition ``n % partitions``, where it has the offset ``n // partitions``:
    so what a position stands for is known. ``told`` is called with how many are on their way.
    Raises ``KafkaException`` where the broker did not take one.
    """
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "linger.ms": 20 if rate is None else 0,
            "log_level": 3,  # a coordinator that is still loading is asked again
        }
    )
    failed = list[KafkaError]()

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failed.append(error)

    due = time.monotonic()
    for number in range(count):
        if rate is not None:
            due += 1 / rate
            time.sleep(max(0.0, due - time.monotonic()))
        key = f"item-{number % 997}"
        while True:
            try:
                place = number % partitions
                producer.produce(topic, value(number, size), key, place, on_delivery=delivered)
                break
            except BufferError:  # the local queue is full: let some of it be acknowledged
                producer.poll(0.1)
        producer.poll(0)
        if number % 10_000 == 0:
            told(number)
    if producer.flush(60) or failed:
        raise KafkaException(failed[0] if failed else KafkaError(KafkaError._TIMED_OUT))
    told(count)
