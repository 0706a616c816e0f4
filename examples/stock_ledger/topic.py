"""What is in a topic right now, read without a group: nothing is committed or disturbed."""

from __future__ import annotations

from collections.abc import Iterator

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

TIMEOUT = 60.0  # seconds for a broker to answer


class TopicReader:
    """Reads `topic` at `bootstrap` with its own consumer; a context manager.

    Raises `KafkaException` when the broker does not answer or the topic is not there.
    """

    def __init__(self, bootstrap: str, topic: str) -> None:
        """Connect; only committed messages are seen."""
        self._topic = topic
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "stock-ledger-reader",  # librdkafka wants one; it is never joined
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 10,  # at the end of one partition go on to the next at once
            }
        )

    def __enter__(self) -> TopicReader:
        """Return the reader itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self._consumer.close()

    def ends(self) -> dict[int, int]:
        """Return the high watermark of each partition: the offset that comes next."""
        found = self._consumer.list_topics(self._topic, TIMEOUT).topics[self._topic]
        if found.error:
            raise KafkaException(found.error)
        return {number: self._watermarks(number)[1] for number in sorted(found.partitions)}

    def messages(self, partition: int) -> Iterator[Message]:
        """Yield the messages of `partition` from its low to its high watermark of now."""
        low, high = self._watermarks(partition)
        self._consumer.assign([TopicPartition(self._topic, partition, low)])
        while low < high:
            message = self._consumer.poll(TIMEOUT)
            if message is None:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
            error = message.error()
            if error and error.code() == KafkaError._PARTITION_EOF:
                return  # the rest up to the watermark are markers of Kafka's transactions
            if error:
                raise KafkaException(error)
            low = (message.offset() or 0) + 1
            if low > high:
                return
            yield message

    def _watermarks(self, partition: int) -> tuple[int, int]:
        found = self._consumer.get_watermark_offsets(
            TopicPartition(self._topic, partition), TIMEOUT
        )
        if found is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return found
