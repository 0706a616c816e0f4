"""The control: the loop that most teams write, with Kafka's auto-commit and no transaction.

It writes the same rows into the same collections as the other modes; only the offset goes its own
way. Every five seconds librdkafka commits what `consume` returned, whether it is worked on or not:
a crash loses what was committed too early and repeats what was committed too late.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from .books import Books
from .documents import BizDoc
from .ledger import Source, expand
from .watch import Done, Watch

_BATCH = 500


def run(
    bootstrap: str,
    books: Books[Any],
    topic: str,
    group: str,
    *,
    watch: Watch,
    kafka: Mapping[str, str],
    stop: Callable[[], bool],
    until_end: bool,
) -> None:
    """Consume until `stop()`, or with `until_end` until every partition was read to its end.

    `kafka` are more settings for librdkafka. Raises `KafkaException` for an error that the
    broker reports.
    """
    consumer = Consumer(
        {
            **kafka,
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": True,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
    )

    def assigned(_: Consumer, partitions: list[TopicPartition]) -> None:
        watch.assigned()
        for each in partitions:
            books.take_over(each.topic, each.partition)

    consumer.subscribe([topic], on_assign=assigned)
    try:
        ended: set[int] = set()
        while not stop() and not (until_end and _all_ended(consumer, ended)):
            messages = list[Message]()
            for message in consumer.consume(_BATCH, 0.5):
                error = message.error()
                if error is None:
                    messages.append(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    ended.add(message.partition() or 0)
                else:
                    raise KafkaException(error)
            if messages:
                _handle(books, messages, watch)
    finally:
        consumer.close()


def _all_ended(consumer: Consumer, ended: set[int]) -> bool:
    assigned = consumer.assignment()
    return bool(assigned) and ended >= {each.partition for each in assigned}


def _handle(books: Books[Any], messages: list[Message], watch: Watch) -> None:
    now, entries, done = time.time_ns(), [], []
    first: dict[tuple[str, int], int] = {}
    for message in messages:
        source = Source(message.topic() or "", message.partition() or 0, message.offset() or 0)
        document = BizDoc.model_validate_json(message.value() or b"")
        entries.append(expand(document, source, now))
        done.append(Done(source, message.timestamp()[1]))
        first.setdefault((source.topic, source.partition), source.offset)
    for piece in watch.pieces(entries):
        books.write(piece)
    watch.done(done)
    for (topic, partition), offset in first.items():
        books.catch_up(topic, partition, handled_from=offset)
    watch.followed(len(messages))
