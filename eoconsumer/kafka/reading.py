"""Reads a stretch of a topic without a group: nothing is committed, nobody is disturbed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from eoconsumer.errors import BrokerError
from eoconsumer.kafka.log import librdkafka_log
from eoconsumer.kafka.settings import text
from eoconsumer.message import TopicPartition

#: How long the broker may send nothing, in seconds.
SILENCE = 30.0
AT_ONCE = 10_000


def offsets(
    settings: Mapping[str, Any], partition: TopicPartition, first: int, upto: int
) -> Iterator[int]:
    """Yield the offsets of the messages from ``first`` to ``upto`` that are committed in Kafka.

    Markers and messages of aborted transactions are left out. Ends at the last stable offset where
    that comes first. Raises ``BrokerError``.
    """
    client = Consumer(
        {
            **settings,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
            "logger": librdkafka_log(),
        }
    )
    try:
        client.assign([KafkaPartition(*partition, first)])
        yield from _read(client, partition, upto)
    except KafkaException as error:
        raise BrokerError(f"{partition} cannot be read: {text(error)}.") from error
    finally:
        client.close()


def _read(client: Consumer, partition: TopicPartition, upto: int) -> Iterator[int]:
    heard = time.monotonic()
    while True:
        messages = client.consume(AT_ONCE, 0.2)
        if messages:
            heard = time.monotonic()
        elif time.monotonic() - heard > SILENCE:
            raise BrokerError(f"{partition} cannot be read: no broker sent it for {SILENCE:.0f} s.")
        for message in messages:
            error = message.error()
            offset = message.offset() or 0
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            if error is not None or offset >= upto:
                return
            yield offset
