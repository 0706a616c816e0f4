"""What Kafka knows of a group and of its topics, asked without joining the group."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar, cast

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
)
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # they are public
    ConfigResource,
    OffsetSpec,
    ResourceType,
)

from eoconsumer.errors import BrokerError
from eoconsumer.kafka.check import admin, topics
from eoconsumer.kafka.settings import text
from eoconsumer.message import TopicPartition

#: How long to ask, in seconds: a coordinator that has just moved answers only after a while.
PATIENCE = 20.0

_NOT_YET = {
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
}
_SPECS = cast(Any, OffsetSpec)  # its class methods have no types
T = TypeVar("T")


class GroupAdmin:
    """One group, and the logs of topics, as an administrator sees them."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Ask with the settings of a consumer; raises ``ConfigurationError`` for a bad one."""
        self._settings = settings
        self._client = admin(settings)
        self._group = settings["group.id"]

    def members(self) -> int:
        """Return how many members the group has, in the classic and in the new protocol."""
        found = _patiently(
            lambda: self._client.describe_consumer_groups([self._group])[self._group],
            "tell the members of the group",
        )
        return len(found.members)

    def committed(self) -> dict[TopicPartition, int]:
        """Return the offsets that the group has committed in Kafka."""
        asked = [ConsumerGroupTopicPartitions(self._group)]
        found = _patiently(
            lambda: self._client.list_consumer_group_offsets(asked)[self._group],
            "tell what the group has committed",
        )
        return {
            TopicPartition(p.topic, p.partition): p.offset
            for p in found.topic_partitions
            if p.offset >= 0
        }

    def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """Set what the group has committed; raises ``BrokerError``, as for a group with members."""
        wanted = [KafkaPartition(*key, offset) for key, offset in positions.items()]
        asked = [ConsumerGroupTopicPartitions(self._group, wanted)]
        done = _patiently(
            lambda: self._client.alter_consumer_group_offsets(asked)[self._group],
            "take the offsets of the group",
        )
        for answer in done.topic_partitions:
            if answer.error is not None:
                raise BrokerError(
                    f"Kafka did not take the offset of {answer.topic}[{answer.partition}]: "
                    f"{answer.error.str()}."
                )

    def topics(self) -> dict[str, int]:
        """Return the topics of the cluster with their number of partitions.

        Raises ``ConfigurationError`` where no broker answers, or one refuses the connection.
        """
        return topics(self._settings)

    def compacted(self, topics: Iterable[str]) -> set[str]:
        """Return those of ``topics`` whose old messages compaction may remove.

        Where our user may not read the settings of a topic, it is taken for one that is not.
        """
        asked = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics]
        found = set()
        for resource, answer in self._client.describe_configs(asked).items() if asked else ():
            try:
                policy = answer.result(PATIENCE)["cleanup.policy"].value
            except KafkaException:
                continue
            if "compact" in policy:
                found.add(resource.name)
        return found

    def latest(self, keys: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the end of each log, or the first message of an open transaction before it."""
        latest = dict.fromkeys(keys, _SPECS.latest())
        return self._offsets(latest, IsolationLevel.READ_COMMITTED)

    def since(self, keys: Iterable[TopicPartition], moment: int) -> dict[TopicPartition, int]:
        """Return the first offset from ``moment`` (milliseconds since the epoch) on.

        A partition without a message from then on is left out.
        """
        found = self._offsets(dict.fromkeys(keys, _SPECS.for_timestamp(moment)))
        return {key: offset for key, offset in found.items() if offset >= 0}

    def _offsets(
        self,
        asked: Mapping[TopicPartition, Any],
        level: IsolationLevel = IsolationLevel.READ_UNCOMMITTED,
    ) -> dict[TopicPartition, int]:
        if not asked:
            return {}
        specs = {KafkaPartition(*key): spec for key, spec in asked.items()}
        futures = self._client.list_offsets(specs, isolation_level=level)
        return {
            TopicPartition(p.topic, p.partition): _patiently(
                lambda future=future: future,  # type: ignore[misc]  # mypy knows no such lambda
                f"tell the offsets of {p.topic}[{p.partition}]",
            ).offset
            for p, future in futures.items()
        }


def _patiently(ask: Callable[[], Future[T]], what: str) -> T:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return ask().result(PATIENCE)
        except TimeoutError as error:
            raise BrokerError(
                f"Kafka did not {what} within {PATIENCE:g} s. Try again when its brokers answer."
            ) from error
        except KafkaException as error:
            told = cast(KafkaError, error.args[0])
            if told.code() not in _NOT_YET or time.monotonic() > until:
                raise BrokerError(f"Kafka did not {what}: {text(error)}.") from error
        time.sleep(0.2)
