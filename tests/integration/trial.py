"""What a trial needs: groups that are quick, input that is counted, effects that are counted."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

from confluent_kafka import KafkaError, Producer
from confluent_kafka import Message as KafkaMessage
from confluent_kafka.admin import AdminClient
from pymongo.database import Database

from eoconsumer.servers import KafkaBroker

T = TypeVar("T")
Document: TypeAlias = dict[str, Any]
Place: TypeAlias = tuple[int, int]  # partition, offset

#: A member that died is noticed within two seconds.
QUICK: dict[str, Any] = {"session.timeout.ms": 1500, "heartbeat.interval.ms": 300}
#: For members that nobody kills: a busy machine does not make them lose what they have.
PATIENT: dict[str, Any] = QUICK | {"session.timeout.ms": 30_000}
#: Seconds; twice the session's time-out of ``SLOW``, so that neither hides the other.
MAX_POLL = 6.0
SLOW: dict[str, Any] = QUICK | {
    "session.timeout.ms": 3000,
    "max.poll.interval.ms": int(MAX_POLL * 1000),
}
#: As ``QUICK``, for ``group.protocol=consumer``, where the broker sets the times.
QUICK_848: dict[str, Any] = {"group.protocol": "consumer"}
EFFECTS = "effects"
KEYS = 17  # of ``produce``
DEADLINE = 60.0  # seconds; the machine may be busy


class Fill(Protocol):
    """What the fixture ``fill`` gives."""

    def __call__(self, topic: str, n: int) -> list[Place]:
        """Produce ``n`` messages with keys, turn by turn to all partitions; return the places."""
        ...


def group_tool(broker: KafkaBroker, *arguments: str) -> str:
    """Run Kafka's own command for groups; return what it printed."""
    # By default it gives a busy machine five seconds.
    where = ("--bootstrap-server", broker.bootstrap_servers, "--timeout", "60000")
    return broker.tool(
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", *where, *arguments
    )


def produce(bootstrap: str, topic: str, n: int) -> list[Place]:
    """Produce ``n`` messages with keys, turn by turn to all partitions; return the places."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    partitions = eventually(lambda: len(admin.list_topics(topic).topics[topic].partitions))
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5})
    places: list[Place] = []

    def delivered(error: KafkaError | None, message: KafkaMessage) -> None:
        assert error is None, error
        places.append((message.partition() or 0, message.offset() or 0))

    for i in range(n):
        value = f'{{"n": {i}}}'.encode()
        producer.produce(
            topic, value, f"key-{i % KEYS}".encode(), i % partitions, on_delivery=delivered
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


class Verdict(NamedTuple):
    """What became of the input: how many messages are lost, doubled, out of order."""

    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0


def verdict(database: Database[Document], produced: Iterable[Place]) -> Verdict:
    """Compare the effects with what was produced."""
    rows = database[EFFECTS].find().sort("handled_at")
    return judged([(row["partition"], row["offset"]) for row in rows], produced)


def judged(done: Iterable[Place], produced: Iterable[Place]) -> Verdict:
    """Compare what was done, in the order in which it was handled, with what was produced."""
    order: dict[int, list[int]] = defaultdict(list)
    for partition, offset in done:
        order[partition].append(offset)
    counts = Counter((key, offset) for key, offsets in order.items() for offset in offsets)
    assert counts.keys() <= set(produced), "there are effects of messages that nobody produced"
    return Verdict(
        lost=sum(place not in counts for place in produced),
        doubled=sum(times - 1 for times in counts.values()),
        out_of_order=sum(b < a for offsets in order.values() for a, b in pairwise(offsets)),
    )


def keys_out_of_order(done: Iterable[Place], partitions: int = 1) -> dict[Place, list[int]]:
    """Return the offsets of keys (partition, number) that were not handled in their order.

    Produced in one go, or in whole rounds of keys and partitions: else 1. the numbers begin anew in
    the middle of a round, 2. messages of two keys are taken for those of one, which have no order.
    """
    offsets: dict[Place, list[int]] = defaultdict(list)
    for partition, offset in done:
        number = offset * partitions + partition  # produced turn by turn
        offsets[partition, number % KEYS].append(offset)
    return {key: some for key, some in offsets.items() if any(b < a for a, b in pairwise(some))}


def positions(database: Database[Document]) -> dict[int, int]:
    """Return the stored position of each partition."""
    rows = database["eoconsumer_offsets"].find({"_id.partition": {"$exists": True}, "_id.lane": 0})
    return {row["_id"]["partition"]: row["next_offset"] for row in rows}


def ends(produced: Iterable[Place]) -> dict[int, int]:
    """Return the position of each partition behind all that was produced."""
    return {partition: offset + 1 for partition, offset in sorted(produced)}


def wait_until_done(database: Database[Document], produced: Iterable[Place]) -> None:
    """Wait until the stored positions stand behind all that was produced."""
    eventually(lambda: positions(database), lambda stored: stored == ends(produced))
