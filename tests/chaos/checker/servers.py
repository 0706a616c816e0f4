"""Reads the topic and the database, on its own, when the run is over."""

from __future__ import annotations

import json
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka import Message as KafkaMessage
from pymongo import MongoClient, ReadPreference
from pymongo.read_concern import ReadConcern

from tests.chaos.checker.evidence import Line, Place, Visible
from tests.chaos.checker.tables import read_tables

OFFSETS = "eoconsumer_offsets"
LETTERS = "eoconsumer_dead_letters"
WATCHED = {"effects": "effects", "letters": LETTERS}
PATIENCE = 60.0  # seconds without a message


def read_topic(bootstrap: str, topic: str) -> dict[Place, list[Visible]]:
    """Read what is visible, from the low watermark to the end of each partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "chaos-checker",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
        }
    )
    try:
        numbers = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        visible: dict[Place, list[Visible]] = {(topic, number): [] for number in numbers}
        starts = []
        for number in numbers:
            low, _ = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=30)
            starts.append(TopicPartition(topic, number, low))
        consumer.assign(starts)
        open_ends = set(numbers)
        while open_ends:
            message = consumer.poll(PATIENCE)
            if message is None:
                raise TimeoutError(f"partitions {sorted(open_ends)} of {topic} do not end")
            if error := message.error():
                if error.code() != KafkaError._PARTITION_EOF:
                    raise RuntimeError(f"{topic} cannot be read: {error}")
                open_ends.discard(message.partition())
            else:
                visible[topic, message.partition()].append(_visible(message))
        return visible
    finally:
        consumer.close()


def _visible(message: KafkaMessage) -> Visible:
    key = (message.key() or b"").decode()
    if message.value() is None:
        return Visible(message.offset(), key, "tombstone")
    transfer = json.loads(message.value())
    kind = "poison" if transfer["quantity"] < 0 else "transfer"
    return Visible(message.offset(), key, kind, transfer["seq"])


def read_database(url: str, name: str) -> dict[str, Any]:
    """Read what is there for good: effects, letters, positions, stock.

    ``name`` is that of a database of MongoDB; of a SQL database the URL says all.
    """
    if not url.startswith("mongodb"):
        return read_tables(url)
    with MongoClient[Line](url) as client:
        database = client.get_database(
            name, read_concern=ReadConcern("majority"), read_preference=ReadPreference.PRIMARY
        )
        found: dict[str, Any] = {
            field: [
                {k: v for k, v in row.items() if k != "_id"} for row in database[collection].find()
            ]
            for field, collection in WATCHED.items()
        }
        rows = database[OFFSETS].find({"_id.partition": {"$exists": True}})
        found["positions"] = {
            (row["_id"]["topic"], row["_id"]["partition"]): int(row["next_offset"]) for row in rows
        }
        found["stock"] = {row["_id"]: row["stock"] for row in database["stock"].find()}
        return found
