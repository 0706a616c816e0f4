"""Fills the topic while the run goes on, and notes what the broker has taken.

Keys are Zipf-like and stay in their partition. Each message of a key has a sequence number. One in
a hundred is poison, one in a hundred a tombstone; a tenth is produced in Kafka transactions, of
which a fifth is aborted. Keys of transactions are their own, so that order per key is one
producer's business.
"""

from __future__ import annotations

import json
import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaException, Producer
from confluent_kafka import Message as KafkaMessage

from tests.chaos.journal import Journal

ACCOUNTS = 20  # of each partition; most transfers stay among these
SHARED_ACCOUNTS = 100  # of all
SHARE_OF_SHARED = 0.02
MOST_PARTITIONS = 16
STOCK = 1000  # of each account at first
KEYS = 150
TRANSACTION_KEYS = 20
SHARE_OF_POISON = SHARE_OF_TOMBSTONES = 0.01
SHARE_IN_TRANSACTIONS = 0.1
SHARE_ABORTED = 0.2
PER_TRANSACTION = 5  # messages
TICK = 0.05  # seconds
PATIENCE = 120.0  # seconds; a broker may be away


def accounts() -> list[str]:
    """Return the names of all accounts."""
    own = [account(partition, n) for partition in range(MOST_PARTITIONS) for n in range(ACCOUNTS)]
    return own + [f"shared-{n}" for n in range(SHARED_ACCOUNTS)]


def account(partition: int, number: int) -> str:
    return f"account-{partition}-{number}"


class Feeder:
    """Two threads: one plain idempotent producer, one with transactions."""

    def __init__(
        self, bootstrap: str, topic: str, partitions: int, rate: float, seed: int, journal: Journal
    ) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._rate = rate
        self._journal = journal
        self._chance = random.Random(seed)
        self._sequence: Counter[str] = Counter()
        self._keys = [(f"key-{n}", n % partitions) for n in range(KEYS)]
        self._in_transactions = [(f"tx-{n}", n % partitions) for n in range(TRANSACTION_KEYS)]
        self._partitions = self._wanted = partitions
        self._bursts: queue.Queue[tuple[str, int]] = queue.Queue()
        self._orders: queue.Queue[str] = queue.Queue()
        self._stopping = threading.Event()
        self.aborted = 0
        self._threads = [
            threading.Thread(target=self._told, args=(work,), name=work.__name__, daemon=True)
            for work in (self._feed, self._transact)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop, and wait until the broker has taken or refused everything."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(PATIENCE + 30)

    def burst(self, kind: str, count: int) -> None:
        """Send so many messages of a kind ("poison", "tombstone") next."""
        self._bursts.put((kind, count))

    def transact(self, end: str) -> None:
        """Make one more transaction next: "abort" it, or leave it "open" for a while."""
        self._orders.put(end)

    def add_partitions(self, total: int) -> None:
        """Use keys of the new partitions as well; the old keys stay where they are."""
        self._wanted = total

    def _told(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._journal.write("failed", error=repr(error))
            raise

    # --- plain messages -----------------------------------------------------------------------

    def _feed(self) -> None:
        producer = Producer(
            {
                "bootstrap.servers": self._bootstrap,
                "enable.idempotence": True,
                "linger.ms": 5,
                "message.timeout.ms": int(PATIENCE * 1000),
                "log_level": 2,
            }
        )
        begin, sent = time.monotonic(), 0
        while not self._stopping.wait(TICK):
            due = int((time.monotonic() - begin) * self._rate * (1 - SHARE_IN_TRANSACTIONS))
            for _ in range(min(due - sent, 20)):  # what an outage held up is not made up for
                self._send(producer, *self._choose())
            sent = due
            while not self._bursts.empty():
                kind, count = self._bursts.get()
                for _ in range(count):
                    self._send(producer, kind, *self._chance.choice(self._keys))
            producer.poll(0)
            if self._wanted > self._partitions:
                self._use_new_partitions(producer)
        producer.flush(PATIENCE)

    def _use_new_partitions(self, producer: Producer) -> None:
        """Add their keys, as soon as this producer knows the partitions."""
        known = len(producer.list_topics(self._topic, timeout=10).topics[self._topic].partitions)
        for partition in range(self._partitions, known):
            self._keys += [(f"key-{partition}-{n}", partition) for n in range(KEYS // known)]
        self._partitions = max(self._partitions, known)

    def _choose(self) -> tuple[str, str, int]:
        rank = min(int(self._chance.paretovariate(0.8)) - 1, len(self._keys) - 1)
        # A third goes to any key, so that no partition is ever silent.
        pair = self._chance.choice(self._keys) if self._chance.random() < 0.33 else self._keys[rank]
        dice = self._chance.random()
        if dice < SHARE_OF_POISON:
            return "poison", *pair
        if dice < SHARE_OF_POISON + SHARE_OF_TOMBSTONES:
            return "tombstone", *pair
        return "transfer", *pair

    def _send(self, producer: Producer, kind: str, key: str, partition: int) -> None:
        details = self._message(kind, key, partition)

        def delivered(error: Any, message: KafkaMessage) -> None:
            said = "refused" if error else "produced"
            why = {"error": str(error)} if error else {}
            self._note(said, message, kind=kind, key=key, seq=details["seq"], **why)

        value = None if kind == "tombstone" else json.dumps(details).encode()
        producer.produce(self._topic, value, key.encode(), partition, on_delivery=delivered)

    def _message(self, kind: str, key: str, partition: int) -> dict[str, Any]:
        self._sequence[key] += 1
        source, target = (account(partition, n) for n in self._chance.sample(range(ACCOUNTS), 2))
        if self._chance.random() < SHARE_OF_SHARED:
            target = f"shared-{self._chance.randrange(SHARED_ACCOUNTS)}"
        return {
            "seq": self._sequence[key],
            "source": source,
            "target": target,
            "quantity": -1 if kind == "poison" else self._chance.randint(1, 9),
        }

    def _note(self, said: str, message: KafkaMessage, **details: Any) -> None:
        self._journal.write(said, partition=message.partition(), offset=message.offset(), **details)

    # --- transactions -------------------------------------------------------------------------

    def _transact(self) -> None:
        producer: Producer | None = None
        pause = PER_TRANSACTION / (self._rate * SHARE_IN_TRANSACTIONS)
        while not self._stopping.is_set():
            try:
                end = self._orders.get(timeout=pause)
            except queue.Empty:
                end = "abort" if self._chance.random() < SHARE_ABORTED else "commit"
            try:
                producer = producer or self._transactional()
                self._transaction(producer, end)
            except KafkaException as error:
                # Fenced, timed out, or in doubt: a new producer settles what is open.
                self._journal.write("transaction failed", error=str(error))
                producer = None

    def _transactional(self) -> Producer:
        producer = Producer(
            {
                "bootstrap.servers": self._bootstrap,
                "transactional.id": f"{self._topic}-feeder",
                "transaction.timeout.ms": 10_000,
                "linger.ms": 0,
                "log_level": 2,
            }
        )
        producer.init_transactions(PATIENCE)
        return producer

    def _transaction(self, producer: Producer, end: str) -> None:
        taken: list[dict[str, Any]] = []

        def delivered(error: Any, message: KafkaMessage) -> None:
            if error is None:
                taken.append({"partition": message.partition(), "offset": message.offset()})

        producer.begin_transaction()
        for _ in range(PER_TRANSACTION):
            key, partition = self._chance.choice(self._in_transactions)
            value = json.dumps(self._message("transfer", key, partition)).encode()
            producer.produce(self._topic, value, key.encode(), partition, on_delivery=delivered)
        producer.flush(PATIENCE)
        if end == "open":
            self._stopping.wait(2.0)
        if end == "commit":
            producer.commit_transaction(PATIENCE)
        else:
            producer.abort_transaction(PATIENCE)
            self.aborted += len(taken)
        self._journal.write("committed" if end == "commit" else "aborted", messages=taken)
