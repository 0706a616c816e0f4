"""Consumers that remember what they saw, in this process, and ways to run them within bounds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from confluent_kafka import Producer
from trial import DEADLINE, Place

from eoconsumer import Consumer, Message, Snapshot
from eoconsumer.core.lanes import WHOLE
from eoconsumer.stores.memory import Key, MemoryStore


class Keep(Consumer):
    """Appends each message to the table "kept" of a ``MemoryStore``."""

    kafka = {"heartbeat.interval.ms": 300}  # noqa: RUF012 - as users write it

    def handle(self, message: Message, session: Any) -> None:
        session.append("kept", message)


def kept(store: MemoryStore) -> list[Message]:
    """Return the messages that ``Keep`` kept and committed, in the order of their commits."""
    return cast(list[Message], list(store.tables["kept"]))


def places(messages: Sequence[Message]) -> list[Place]:
    """Return partition and offset of each message."""
    return [(m.partition, m.offset) for m in messages]


def positions(store: MemoryStore, group: str) -> dict[int, int]:
    """Return the stored position of each partition of the one topic of ``group``."""
    found = rows(store, group)
    return {k.partition.partition: r.next_offset for k, r in found.items() if k.lane is WHOLE}


def rows(store: MemoryStore, group: str) -> dict[Key, Any]:
    """Return the rows of ``group``."""
    with store.lock:
        return {key: row for key, row in store.rows.items() if key.group == group}


def within(
    wanted: Callable[[Snapshot], bool], seconds: float = DEADLINE
) -> Callable[[Snapshot], bool]:
    """Return a predicate for ``run_until`` that fails the test after ``seconds``."""
    until = time.monotonic() + seconds

    def reached(seen: Snapshot) -> bool:
        assert time.monotonic() < until, f"not within {seconds:.0f} s; the last look saw {seen}"
        return wanted(seen)

    return reached


def committed(messages: int, seconds: float = DEADLINE) -> Callable[[Snapshot], bool]:
    """Return a predicate: so many messages are done."""
    return within(lambda seen: seen.committed >= messages, seconds)


def claimed(partitions: int = 1) -> Callable[[Snapshot], bool]:
    """Return a predicate: so many partitions are ours."""
    return within(lambda seen: len(seen.positions) >= partitions)


@contextmanager
def running(consumer: Consumer, errors: list[BaseException] | None = None) -> Iterator[Consumer]:
    """Run ``consumer`` on another thread, and stop it.

    What it raised is raised here, or added to ``errors``.
    """
    raised = [] if errors is None else errors

    def run() -> None:
        try:
            consumer.run()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, name="running", daemon=True)
    thread.start()
    try:
        yield consumer
    finally:
        consumer.stop()
        thread.join(DEADLINE)
        if raised and errors is None:  # it tells why a test waited in vain, too
            raise raised[0]
        assert not thread.is_alive(), "the consumer did not stop"


def send(bootstrap: str, topic: str, *values: bytes | None, partition: int = 0) -> None:
    """Produce ``values`` to one partition."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 1})
    for value in values:
        producer.produce(topic, value, partition=partition)
    assert producer.flush(DEADLINE) == 0, "the broker did not take all messages"
