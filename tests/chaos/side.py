"""A second topic with a worker, a group and a database of its own, for what destroys a topic.

The topic lives several lives: it is deleted and created again, and its old messages are deleted.
The key of a message names its life, so the checker knows which effect belongs to which.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka import Message as KafkaMessage
from confluent_kafka.admin import AdminClient
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from eoconsumer.servers import KafkaBroker
from tests.chaos.crew import Member
from tests.chaos.journal import Journal
from tests.chaos.observer import EFFECTS, OFFSETS

TOPIC, GROUP, DATABASE = "side", "side", "chaos_side"
PARTITIONS = 2
DEADLINE = 60.0  # seconds
SETTINGS: dict[str, Any] = {
    "topics": TOPIC,
    "group": GROUP,
    "readers": 1,
    "on_identity_change": "restart",
    "on_data_loss": "continue",
    "identity_interval": 1.0,
}


class Side:
    """The topic in its present life, and its worker."""

    def __init__(
        self, kafka: KafkaBroker, mongo_url: str, journal: Journal, launch: Callable[[], Member]
    ) -> None:
        self._kafka, self._url = kafka, mongo_url
        self._journal = journal
        self._launch = launch
        self._ends: dict[int, int] = {}
        self._sent = 0
        self.life = 0

    def start(self) -> None:
        with MongoClient[Any](self._url) as client:
            for collection in (OFFSETS, EFFECTS, "counters", "stock"):
                client[DATABASE].create_collection(collection)
        self._create()
        self.worker = self._launch()

    def stop(self) -> None:
        """End the worker for good."""
        self.worker.signal(signal.SIGCONT)
        self.end_worker()

    # --- what is done to the topic --------------------------------------------------------------

    def produce(self, count: int) -> None:
        """Produce so many messages to each partition."""
        producer = Producer({"bootstrap.servers": self._kafka.bootstrap_servers, "log_level": 2})

        def delivered(error: Any, message: KafkaMessage) -> None:
            if error is None:
                partition, offset = message.partition() or 0, message.offset() or 0
                self._ends[partition] = max(self._ends[partition], offset + 1)
                place = {"partition": partition, "offset": offset}
                self._journal.write("produced", life=self.life, **place)

        for _ in range(count):
            self._sent += 1
            transfer = {"source": "a", "target": "b", "quantity": 1, "seq": self._sent}
            value, key = json.dumps(transfer).encode(), f"life-{self.life}".encode()
            for partition in range(PARTITIONS):
                producer.produce(TOPIC, value, key, partition, on_delivery=delivered)
        producer.flush(DEADLINE)

    def recreate(self) -> None:
        """Delete the topic, and create it again under its name."""
        self._kafka.delete_topic(TOPIC)
        self._create()

    def expire(self, left: int) -> None:
        """Delete the oldest messages, so that so many are left in each partition."""
        admin = AdminClient({"bootstrap.servers": self._kafka.bootstrap_servers, "log_level": 2})
        lows = {partition: max(0, end - left) for partition, end in self._ends.items()}
        wanted = [TopicPartition(TOPIC, partition, low) for partition, low in lows.items()]
        for deleted in admin.delete_records(wanted).values():
            deleted.result()
        for partition, low in lows.items():
            self._journal.write("expired", life=self.life, partition=partition, low=low)

    def _create(self) -> None:
        until = time.monotonic() + DEADLINE
        while True:
            try:
                self._kafka.create_topic(TOPIC, PARTITIONS)
                break
            except KafkaException:  # the former one is not quite gone
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
        self.life += 1
        self._ends = dict.fromkeys(range(PARTITIONS), 0)

    # --- the worker -----------------------------------------------------------------------------

    def begin_worker(self) -> None:
        """Start a worker, if none is there."""
        if not self.worker.alive:
            self.worker = self._launch()

    def end_worker(self) -> None:
        """Let the worker end well, or at once if it does not."""
        self.worker.signal(signal.SIGTERM)
        if not self.worker.wait_until_gone(DEADLINE):
            self.worker.signal(signal.SIGKILL)
            self.worker.wait_until_gone(5)
        self.worker.close()

    def drained(self) -> bool:
        """Whether the stored positions stand at the end of this life."""
        try:
            with MongoClient[Any](self._url, readConcernLevel="majority") as client:
                rows = client[DATABASE][OFFSETS].find({"_id.partition": {"$exists": True}})
                at = {row["_id"]["partition"]: row["next_offset"] for row in rows}
        except PyMongoError:
            return False
        return at == self._ends
