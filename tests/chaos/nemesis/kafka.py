"""Faults of the broker, of the topic, and of what is in it."""

from __future__ import annotations

import time

from confluent_kafka.admin import AdminClient, NewPartitions

from tests.chaos.nemesis.field import Field, Outcome, eventually
from tests.chaos.plan import Fault

#: Seconds; longer than a member may be silent, shorter than the broker itself may.
PAUSE = 3.0
BURST = 5  # messages
WAIT = 60.0  # seconds, at most, for what comes in a moment unless the machine is busy


def broker_kill(field: Field, fault: Fault) -> Outcome:
    """``kill -9`` of the only broker, and its restart."""
    del fault
    field.kafka.kill()
    gone = not field.kafka.is_ready()
    field.kafka.start()
    since = time.monotonic()
    field.moved(None, since, 30)
    return Outcome(gone, since)


def broker_pause(field: Field, fault: Fault) -> Outcome:
    """SIGSTOP of the broker for longer than a member may be silent."""
    del fault
    field.kafka.pause()
    begun = time.monotonic()
    silent = eventually(lambda: not field.kafka.is_ready(), PAUSE)
    time.sleep(max(0.0, begun + PAUSE - time.monotonic()))
    field.kafka.resume()
    since = time.monotonic()
    field.moved(None, since, 30)
    return Outcome(silent, since)


def poison(field: Field, fault: Fault) -> Outcome:
    """Messages that the handler refuses, in a row."""
    del fault
    since = time.monotonic()
    field.feeder.burst("poison", BURST)
    return Outcome(_said(field, "buried", since), since)


def tombstones(field: Field, fault: Fault) -> Outcome:
    """Messages without a value, in a row."""
    del fault
    since = time.monotonic()
    field.feeder.burst("tombstone", BURST)
    return Outcome(field.moved(None, since, WAIT), since)


def aborted_transactions(field: Field, fault: Fault) -> Outcome:
    """Kafka transactions that are aborted: offsets that nobody may see."""
    del fault
    since, before = time.monotonic(), field.feeder.aborted
    for _ in range(3):
        field.feeder.transact("abort")
    return Outcome(eventually(lambda: field.feeder.aborted > before, WAIT), since)


def open_transaction(field: Field, fault: Fault) -> Outcome:
    """A Kafka transaction that stays open for a while: nothing behind it may be read."""
    del fault
    before = field.feeder.aborted
    field.feeder.transact("open")
    ended = eventually(lambda: field.feeder.aborted > before, WAIT)
    since = time.monotonic()
    field.moved(None, since, 10)
    return Outcome(ended, since)


def partitions_added(field: Field, fault: Fault) -> Outcome:
    """One more partition."""
    del fault
    admin = AdminClient({"bootstrap.servers": field.kafka.bootstrap_servers, "log_level": 2})
    total = len(admin.list_topics(field.topic).topics[field.topic].partitions) + 1
    admin.create_partitions([NewPartitions(field.topic, total)])[field.topic].result()
    since = time.monotonic()
    field.feeder.add_partitions(total)
    new = (field.topic, total - 1)
    moved = field.changes.wait(lambda: field.changes.moved.get(new, 0.0) > since, WAIT)
    return Outcome(moved, since, None, f"{total} now")


def _said(field: Field, said: str, since: float) -> bool:
    return eventually(
        lambda: any(field.crew[slot].heard(said, since) for slot in range(len(field.crew.members))),
        WAIT,
    )


KINDS = {
    "broker kill": broker_kill,
    "broker pause": broker_pause,
    "poison": poison,
    "tombstones": tombstones,
    "aborted transactions": aborted_transactions,
    "open transaction": open_transaction,
    "partitions added": partitions_added,
}
