"""Where a partition starts that has no stored position: a policy becomes an offset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from eoconsumer.core.positions import Start
from eoconsumer.errors import BrokerError, TopicGone
from eoconsumer.message import TopicPartition

TIMEOUT = 10.0


def resolve(
    client: Consumer, policies: Mapping[TopicPartition, str | int]
) -> dict[TopicPartition, Start]:
    """Return where each partition starts; for "group" those without a commit are left out.

    A policy is "earliest", "latest", "group", or milliseconds since the epoch (the first message
    from then on; the end where there is none). Raises ``BrokerError`` or ``TopicGone``.
    """
    try:
        counts = {topic: _count(client, topic) for topic in {key.topic for key in policies}}
        group = [key for key, policy in policies.items() if policy == "group"]
        times = {key: policy for key, policy in policies.items() if isinstance(policy, int)}
        offsets = _committed(client, group) | _from_times(client, times)
        for key, policy in policies.items():
            if policy in ("earliest", "latest") or (key in times and offsets[key] < 0):
                low, high = client.get_watermark_offsets(KafkaPartition(*key), timeout=TIMEOUT)
                offsets[key] = low if policy == "earliest" else high
    except KafkaException as error:
        raise BrokerError(f"Kafka did not tell where to start: {error.args[0].str()}.") from error
    return {key: Start(offset, counts[key.topic]) for key, offset in offsets.items()}


def _count(client: Consumer, topic: str) -> int:
    found = client.list_topics(topic, timeout=TIMEOUT).topics.get(topic)
    if found is None or found.error is not None:
        raise TopicGone(f"The topic {topic!r} does not exist any more; nothing was handled.")
    return len(found.partitions)


def _committed(client: Consumer, keys: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    asked = [KafkaPartition(*key) for key in keys]
    answers = client.committed(asked, timeout=TIMEOUT) if asked else []
    for answer in answers:
        if answer.error is not None:
            raise KafkaException(answer.error)
    return {
        TopicPartition(a.topic, a.partition): a.offset
        for a in answers
        if a.offset not in (OFFSET_INVALID, None) and a.offset >= 0
    }


def _from_times(client: Consumer, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
    asked = [KafkaPartition(*key, time) for key, time in times.items()]
    answers = client.offsets_for_times(asked, timeout=TIMEOUT) if asked else []
    return {TopicPartition(a.topic, a.partition): a.offset for a in answers}
