"""Kafka's own tools see what is stored: the group's committed offsets follow the store."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient
from consuming import Keep, claimed, committed, kept, running, send
from trial import DEADLINE, Fill, eventually, group_tool

from eoconsumer import Mode
from eoconsumer.servers import KafkaBroker
from eoconsumer.stores.memory import MemoryStore

pytestmark = pytest.mark.slow


class Group:
    """What Kafka knows of the group of a topic, and consumers in it."""

    def __init__(self, broker: KafkaBroker, topic: str) -> None:
        self.bootstrap, self.topic, self.store = broker.bootstrap_servers, topic, MemoryStore()
        self._admin = AdminClient({"bootstrap.servers": self.bootstrap})

    def committed(self) -> dict[int, int]:
        asked = [ConsumerGroupTopicPartitions(self.topic)]
        answer = self._admin.list_consumer_group_offsets(asked)[self.topic].result(DEADLINE)
        found: list[TopicPartition] = answer.topic_partitions
        return {p.partition: p.offset for p in found if p.topic == self.topic}

    def commit(self, offset: int) -> None:
        wanted = [TopicPartition(self.topic, 0, offset)]
        asked = [ConsumerGroupTopicPartitions(self.topic, wanted)]
        self._admin.alter_consumer_group_offsets(asked)[self.topic].result(DEADLINE)

    def consumer(self, **settings: Any) -> Keep:
        return Keep(self.bootstrap, self.store, topics=[self.topic], group=self.topic, **settings)


@pytest.fixture
def group(kafka_broker: KafkaBroker, topic: str) -> Group:
    return Group(kafka_broker, topic)


@pytest.mark.parametrize("topic", [3], indirect=True)
def test_the_group_follows_while_the_consumer_runs_for_idle_partitions_too(
    group: Group, fill: Fill
) -> None:
    fill(group.topic, 9)
    group.consumer(start="latest").run_until(claimed(3))  # three rows, all idle from now on
    with running(group.consumer()):
        eventually(group.committed, lambda seen: seen == {0: 3, 1: 3, 2: 3})
        send(group.bootstrap, group.topic, *[b"x"] * 5, partition=1)
        eventually(lambda: len(kept(group.store)) == 5)
        eventually(group.committed, lambda seen: seen == {0: 3, 1: 8, 2: 3})


@pytest.mark.parametrize("topic", [2], indirect=True)
def test_kafkas_own_command_shows_the_true_lag(
    group: Group, fill: Fill, kafka_broker: KafkaBroker
) -> None:
    fill(group.topic, 10)
    group.consumer(batch_size=4).run_until(committed(10))
    send(group.bootstrap, group.topic, *[b"x"] * 3, partition=1)
    told = group_tool(kafka_broker, "--describe", "--group", group.topic)
    lines = [line.split() for line in told.splitlines() if line.startswith(group.topic)]
    assert sorted(line[2:6] for line in lines) == [["0", "5", "5", "0"], ["1", "5", "8", "3"]]


@pytest.mark.parametrize("mode", list(Mode))
def test_after_a_stop_the_group_stands_where_the_store_stands(
    group: Group, fill: Fill, mode: Mode
) -> None:
    fill(group.topic, 7)
    group.consumer(mode=mode).run_until(committed(7))
    assert eventually(group.committed) == {0: 7}


def test_a_group_that_went_its_own_way_is_set_right_at_the_claim(group: Group, fill: Fill) -> None:
    fill(group.topic, 7)
    group.consumer().run_until(committed(7))
    group.commit(2)
    with running(group.consumer()):
        eventually(group.committed, lambda seen: seen == {0: 7})
    assert len(kept(group.store)) == 7


def test_without_the_mirror_the_group_hears_nothing(group: Group, fill: Fill) -> None:
    fill(group.topic, 7)
    group.consumer(mirror=False).run_until(committed(7))
    assert group.committed() == {}
