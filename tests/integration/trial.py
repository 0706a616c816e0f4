"""What a trial needs: groups that are quick, input that is counted, effects that are counted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, TypeVar

from confluent_kafka import KafkaError, Producer
from confluent_kafka import Message as KafkaMessage
from confluent_kafka.admin import AdminClient
from pymongo.database import Database

T = TypeVar("T")
Document: TypeAlias = dict[str, Any]
Place: TypeAlias = tuple[int, int]  # partition, offset

#: A member that died is noticed within two seconds.
QUICK: dict[str, Any] = {"session.timeout.ms": 1500, "heartbeat.interval.ms": 300}
#: The same for ``group.protocol=consumer``, where the broker sets the times.
QUICK_848: dict[str, Any] = {"group.protocol": "consumer"}
EFFECTS = "effects"
DEADLINE = 60.0  # seconds; the machine may be busy


class Fill(Protocol):
    """What the fixture ``fill`` gives."""

    def __call__(self, topic: str, n: int) -> list[Place]:
        """Produce ``n`` messages with keys, turn by turn to all partitions; return the places."""
        ...


def produce(bootstrap: str, topic: str, n: int) -> list[Place]:
    """Produce ``n`` messages with keys, turn by turn to all partitions; return the places."""
    partitions = len(
        AdminClient({"bootstrap.servers": bootstrap}).list_topics(topic).topics[topic].partitions
    )
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5})
    places: list[Place] = []

    def delivered(error: KafkaError | None, message: KafkaMessage) -> None:
        assert error is None, error
        places.append((message.partition() or 0, message.offset() or 0))

    for i in range(n):
        value = f'{{"n": {i}}}'.encode()
        producer.produce(
            topic, value, f"key-{i % 17}".encode(), i % partitions, on_delivery=delivered
        )
        producer.poll(0)
    assert producer.flush(DEADLINE) == 0, "the broker did not take all messages"
    return sorted(places)


def effects(database: Database[Document]) -> Counter[Place]:
    """Return how often each message, by partition and offset, has an effect that all can see."""
    return Counter((row["partition"], row["offset"]) for row in database[EFFECTS].find())


def eventually(
    look: Callable[[], T], wanted: Callable[[T], bool] = bool, seconds: float = DEADLINE
) -> T:
    """Look until ``wanted`` is true of what is seen, and return that; fail after ``seconds``."""
    until = time.monotonic() + seconds
    while not wanted(seen := look()):
        assert time.monotonic() < until, (
            f"not within {seconds:.0f} s; the last look saw {seen!r:.500}"
        )
        time.sleep(0.02)
    return seen
