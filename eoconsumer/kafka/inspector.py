"""What Kafka says of a partition: which topic it is, of which cluster, and where its log ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    TopicCollection,
)
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # OffsetSpec is public
    AdminClient,
    OffsetSpec,
)

from eoconsumer.core.identity import Found, Sighting
from eoconsumer.core.positions import Identity
from eoconsumer.kafka.check import admin
from eoconsumer.kafka.log import librdkafka_log
from eoconsumer.message import TopicPartition

log = logging.getLogger("eoconsumer.kafka")
T = TypeVar("T")

#: How long to wait for an answer, and for the messages of a look-up.
SECONDS = 5.0
#: The id of a topic from before there were ids (KIP-516).
_NO_ID = "AAAAAAAAAAAAAAAAAAAAAA"
_SPECS = cast(Any, OffsetSpec)  # its class methods have no types
_LOOK_UP: dict[str, Any] = {
    "enable.partition.eof": True,
    "fetch.wait.max.ms": 100,
    "fetch.message.max.bytes": 65_536,
}
#: What belongs to the reader's own client alone.
_NOT_OURS = ("group.instance.id", "on_commit", "stats_cb", "statistics.interval.ms")


class Inspector:
    """Asks with an admin client of its own, so that it needs no place in the reader's poll."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Ask with the ``settings`` of a consumer; connects at the first question."""
        self._settings = settings
        self._client: AdminClient | None = None
        self._is_mock: bool | None = None  # until Kafka has told
        self._question: Question | None = None

    def inspect(self, keys: Sequence[TopicPartition]) -> dict[TopicPartition, Sighting]:
        """Return what Kafka says, after ``SECONDS`` at most; what it does not tell is left out."""
        seen = self._ask(keys).answer(SECONDS)
        if untold := self._untold(seen, keys):
            log.warning("Kafka does not tell of %s; it is asked again", ", ".join(map(str, untold)))
        return seen

    def glance(self, keys: Sequence[TopicPartition]) -> dict[TopicPartition, Sighting] | None:
        """Ask without waiting; return None until the answer is here. Then ask anew."""
        if self._question is None:
            self._question = self._ask(keys)
        if not self._question.is_over():
            return None
        question, self._question = self._question, None
        seen = question.answer(0)
        self._untold(seen, question.low)
        return seen

    def look_up(self, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, Found | None]:
        """Read the first message at or behind each offset; None: there is none, the log ends.

        Takes ``SECONDS`` at most; what Kafka did not tell by then is left out.
        """
        own = {name: value for name, value in self._settings.items() if name not in _NOT_OURS}
        own |= _LOOK_UP | {"logger": librdkafka_log(), "error_cb": lambda _: None}
        found: dict[TopicPartition, Found | None] = {}
        asked = set(offsets)
        until = time.monotonic() + SECONDS
        with closing(Consumer(own)) as client:
            client.assign([KafkaPartition(*key, offset) for key, offset in offsets.items()])
            while asked and (left := until - time.monotonic()) > 0:
                message = client.poll(left)
                if message is None:
                    continue
                key = TopicPartition(message.topic() or "", message.partition() or 0)
                error = message.error()
                if key in asked and error is None:
                    found[key] = Found(message.offset() or 0, message.leader_epoch())
                elif key in asked and error and error.code() == KafkaError._PARTITION_EOF:
                    found[key] = None
                asked.discard(key)
        if untold := sorted(offsets.keys() - found.keys()):
            log.warning("Kafka shows no message of %s", ", ".join(map(str, untold)))
        return found

    def _ask(self, keys: Sequence[TopicPartition]) -> Question:
        client = self._client or self._connect()
        partitions = {key: KafkaPartition(*key) for key in keys}

        def offsets(spec: Any) -> dict[TopicPartition, Future[Any]]:
            asked = dict.fromkeys(partitions.values(), spec)
            futures = client.list_offsets(asked, request_timeout=SECONDS)
            return {key: futures[partition] for key, partition in partitions.items()}

        ends = offsets(_SPECS.earliest()), offsets(_SPECS.latest())
        topics = sorted({key.topic for key in keys})
        if self._is_mock:
            return Question(_known(_MOCK), dict.fromkeys(topics, _known(_MOCK)), *ends)
        return Question(
            client.describe_cluster(request_timeout=SECONDS),
            client.describe_topics(TopicCollection(topics), request_timeout=SECONDS),
            *ends,
        )

    def _untold(
        self, seen: Mapping[TopicPartition, Sighting], keys: Iterable[TopicPartition]
    ) -> list[TopicPartition]:
        """Return what was not told; the next question goes through another client then.

        This one may know the leaders of a topic's former life. Or it was made while the broker
        was starting, or stood still for long, and has lost every address: seen once, it would have
        told nothing for ever, and a topic that was created anew was not noticed.
        """
        untold = [key for key in keys if key not in seen or seen[key].low is None]
        if untold:
            self._client = None
        return untold

    def _connect(self) -> AdminClient:
        """Make the client; find out, once, whether librdkafka's mock cluster is what answers.

        Not at each new client: a glance must not wait, least of all for a broker that is gone.
        """
        client = self._client = admin(self._settings)
        if self._is_mock is None:
            with suppress(KafkaException):  # the questions that follow tell the same
                cluster_id = client.list_topics(timeout=SECONDS).cluster_id or ""
                self._is_mock = cluster_id.startswith("mockCluster")
        return client


@dataclass(frozen=True, slots=True)
class _Mock:
    """What librdkafka's mock cluster would say of itself and its topics, if it could be asked.

    It never answers such questions. Its topics cannot be deleted, so they need no id.
    """

    cluster_id: str = "mock"
    topic_id: str = _NO_ID


_MOCK = _Mock()


def _known(answer: T) -> Future[T]:
    future: Future[T] = Future()
    future.set_result(answer)
    return future


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked, all at once."""

    cluster: Future[Any]
    topics: Mapping[str, Future[Any]]
    low: Mapping[TopicPartition, Future[Any]]
    high: Mapping[TopicPartition, Future[Any]]
    until: float = field(default_factory=lambda: time.monotonic() + 2 * SECONDS)

    def is_over(self) -> bool:
        """Whether every answer is here, or none comes any more: each had ``SECONDS``."""
        futures = [self.cluster, *self.topics.values(), *self.low.values(), *self.high.values()]
        return all(future.done() for future in futures) or time.monotonic() > self.until

    def answer(self, seconds: float) -> dict[TopicPartition, Sighting]:
        """Wait up to ``seconds`` and return what is told; a partition without a topic is left out.

        Where only the ends of a log are not told (it has no leader at present) they are None.
        """
        until = time.monotonic() + seconds
        cluster = _told(self.cluster, until)
        cluster_id = None if isinstance(cluster, KafkaError | None) else cluster.cluster_id
        seen = {}
        for key, low in self.low.items():
            topic = _told(self.topics[key.topic], until)
            first, last = _told(low, until), _told(self.high[key], until)
            if isinstance(topic, KafkaError):
                if topic.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    seen[key] = Sighting(Identity(None, cluster_id), exists=False)
            elif topic is not None:
                ends_told = _is_offset(first) and _is_offset(last)
                topic_id = str(topic.topic_id)
                identity = Identity(None if topic_id == _NO_ID else topic_id, cluster_id)
                seen[key] = (
                    Sighting(identity, first.offset, last.offset, last.leader_epoch)
                    if ends_told
                    else Sighting(identity)
                )
        return seen


def _is_offset(answer: Any) -> bool:
    """Whether ``answer`` tells an offset: a leader that is just starting may say -1001."""
    return not isinstance(answer, KafkaError | None) and answer.offset >= 0


def _told(future: Future[Any], until: float) -> Any:
    """Return the answer, a ``KafkaError``, or None where there is none in time."""
    try:
        return future.result(max(0.0, until - time.monotonic()))
    except KafkaException as error:
        return error.args[0]
    except TimeoutError:
        return None
