"""A handler slower than ``max.poll.interval.ms`` keeps its partitions, or gives them up orderly."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from consuming import Keep, kept, places, running
from trial import MAX_POLL, SLOW, Fill, eventually

from eoconsumer import Events, Message, TopicPartition
from eoconsumer.servers import KafkaBroker
from eoconsumer.stores.memory import MemoryStore

pytestmark = pytest.mark.slow


class Diary(Events):
    """Writes down what happens, in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def claimed(self, positions: Any) -> None:
        self.lines.append(f"claimed {sorted(key.partition for key in positions)}")

    def fenced(self, partition: TopicPartition) -> None:
        self.lines.append(f"fenced {partition.partition}")

    def restarted(self, error: BaseException, **_: Any) -> None:
        self.lines.append(f"restarted after {error}")


class Slow(Keep):
    """Is busy at its first message for longer than a reader may be silent, and then some."""

    readers = 1
    kafka = SLOW
    more = 0.0  # seconds

    def __init__(self, *args: Any, **settings: Any) -> None:
        self.diary = Diary()
        super().__init__(*args, events=self.diary, **settings)
        self.busy, self.late = threading.Event(), threading.Event()

    def handle(self, message: Message, session: Any) -> None:
        super().handle(message, session)
        if not self.busy.is_set():
            self.busy.set()
            time.sleep(MAX_POLL * 1.2)
            self.late.set()
            time.sleep(self.more)
            self.diary.lines.append("handled")

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        self.diary.lines.append(f"revoked {sorted(key.partition for key in partitions)}")


@pytest.mark.parametrize("mode", ["exactly_once", "at_least_once"])
def test_a_slow_handler_does_not_lose_its_partition(
    kafka_broker: KafkaBroker, topic: str, fill: Fill, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "eoconsumer.reader")
    produced, store = fill(topic, 10), MemoryStore()
    consumer = Slow(
        kafka_broker.bootstrap_servers, store, topics=[topic], group=topic, mode=mode, batch_size=4
    )
    with running(consumer):
        eventually(lambda: consumer.snapshot().committed == 10)
        assert consumer.diary.lines == ["claimed [0]", "handled"]
    assert places(kept(store)) == produced
    assert "polling for its reader" in caplog.text
    assert "took longer than max.poll.interval.ms" not in caplog.text


@pytest.mark.requirement("S3-11")
@pytest.mark.parametrize("topic", [2], indirect=True)
@pytest.mark.parametrize("mode", ["exactly_once", "at_least_once"])
@pytest.mark.parametrize("strategy", ["cooperative-sticky", "range"])
def test_a_member_that_joins_meanwhile_waits_for_the_batch_in_flight(
    kafka_broker: KafkaBroker, topic: str, fill: Fill, mode: str, strategy: str
) -> None:
    produced, store = fill(topic, 20), MemoryStore()
    settings: dict[str, Any] = {"topics": [topic], "group": topic, "mode": mode}
    settings["kafka"] = SLOW | {"partition.assignment.strategy": strategy}
    first = Slow(kafka_broker.bootstrap_servers, store, **settings)
    first.more = 1.5
    second = Keep(kafka_broker.bootstrap_servers, store, readers=1, **settings)
    with running(first):
        assert first.late.wait(60)
        with running(second):
            eventually(lambda: len(kept(store)) == 20)
            eventually(lambda: len(second.snapshot().positions) == 1)
            diary = list(first.diary.lines)
            assert "fenced" not in " ".join(diary)
            assert diary[:2] == ["claimed [0, 1]", "handled"]
            assert diary[2].startswith("revoked")
            fill(topic, 2)
            eventually(lambda: len(kept(store)) == 22)
    assert sorted(places(kept(store))) == sorted([*produced, (0, 10), (1, 10)])
