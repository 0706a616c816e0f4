"""Key lanes: the messages of one partition handled at the same time, those of a key in order."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from typing import Any
from zlib import crc32

import pytest
from confluent_kafka import Producer
from consuming import Keep, committed, kept, positions, rows, running, within
from trial import DEADLINE, eventually

from eoconsumer import Message, RetryPolicy
from eoconsumer.errors import HandlerFailed
from eoconsumer.kafka import KafkaSource, of_reader
from eoconsumer.message import TopicPartition
from eoconsumer.servers import KafkaBroker
from eoconsumer.stores.memory import MemoryStore

pytestmark = [pytest.mark.slow, pytest.mark.requirement("N2")]

LANES = 4
KEYS = [f"key-{number}".encode() for number in range(12)]
SLOW = KEYS[0]
#: The keys that do not share the lane of the slow one.
OTHERS = [key for key in KEYS if crc32(key) % LANES != crc32(SLOW) % LANES]


def send(bootstrap: str, topic: str, keys: Iterable[bytes]) -> None:
    """Produce a message for each of ``keys``, in this order, to partition 0."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 1})
    for key in keys:
        producer.produce(topic, b"{}", key, partition=0)
    assert producer.flush(DEADLINE) == 0, "the broker did not take all messages"


def by_key(messages: Iterable[Message]) -> dict[bytes | None, list[int]]:
    """Return the offsets of each key, in the order of ``messages``."""
    found: dict[bytes | None, list[int]] = defaultdict(list)
    for message in messages:
        found[message.key].append(message.offset)
    return found


def in_order(messages: Iterable[Message]) -> bool:
    return all(a < b for offsets in by_key(messages).values() for a, b in pairwise(offsets))


class Blocked(Keep):
    """Waits at the first message of the slow key until it is let go."""

    lanes = LANES
    readers = 1

    def __init__(self, *given: Any, **settings: Any) -> None:
        super().__init__(*given, **settings)
        self.reached, self.go_on = threading.Event(), threading.Event()

    def handle(self, message: Message, session: Any) -> None:
        if message.key == SLOW and not self.go_on.is_set():
            self.reached.set()
            assert self.go_on.wait(DEADLINE)
        super().handle(message, session)


def test_one_slow_key_holds_back_no_key_of_another_lane(
    kafka_broker: KafkaBroker, topic: str
) -> None:
    store, bootstrap = MemoryStore(), kafka_broker.bootstrap_servers
    consumer = Blocked(bootstrap, store, topics=[topic], group=topic)
    send(bootstrap, topic, [SLOW, *OTHERS * 5])
    with running(consumer):
        assert consumer.reached.wait(DEADLINE)
        eventually(lambda: len(kept(store)), lambda n: n == 5 * len(OTHERS))
        send(bootstrap, topic, OTHERS * 5)  # those that come now wait for nothing, either
        eventually(lambda: len(kept(store)), lambda n: n == 10 * len(OTHERS))
        assert consumer.snapshot().positions == {(topic, 0): 0}
        consumer.go_on.set()
        eventually(
            lambda: consumer.snapshot().positions[topic, 0], lambda at: at == 10 * len(OTHERS) + 1
        )
    assert in_order(kept(store))
    assert positions(store, topic)[0] == len(kept(store)) == 10 * len(OTHERS) + 1


class Paused(KafkaSource):
    """Tells when it pauses and resumes."""

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.told: dict[str, threading.Event] = defaultdict(threading.Event)

    def pause(self, keys: Iterable[TopicPartition]) -> None:
        self.told["paused"].set()
        super().pause(keys)


class Watched(Blocked):
    """Blocks, and shows its source."""

    source: Paused

    def _source(self, number: int) -> Paused:
        self.source = Paused(of_reader(self._client, number, 1))
        return self.source


def test_a_lane_with_a_long_backlog_pauses_the_partition_and_resumes_it_when_half_is_done(
    kafka_broker: KafkaBroker, topic: str
) -> None:
    store, bootstrap = MemoryStore(), kafka_broker.bootstrap_servers
    consumer = Watched(bootstrap, store, topics=[topic], group=topic, batch_size=10)
    send(bootstrap, topic, [SLOW] * 200 + OTHERS)
    with running(consumer):
        assert consumer.reached.wait(DEADLINE)
        assert consumer.source.told["paused"].wait(DEADLINE)
        assert kept(store) == [], "the others stand behind the bound"
        consumer.go_on.set()
        eventually(lambda: len(kept(store)), lambda n: n == 200 + len(OTHERS))
    assert in_order(kept(store))
    assert positions(store, topic) == {0: 200 + len(OTHERS)}


class Picky(Keep):
    """Refuses the first message of one key."""

    lanes = LANES
    readers = 1
    retry = RetryPolicy(attempts=2, minimum=0, maximum=0)

    def handle(self, message: Message, session: Any) -> None:
        if message.offset == KEYS.index(SLOW):
            raise ValueError("no coffee")
        super().handle(message, session)


def test_a_poison_message_in_one_lane_is_buried_and_the_others_never_wait_for_it(
    kafka_broker: KafkaBroker, topic: str
) -> None:
    store, bootstrap = MemoryStore(), kafka_broker.bootstrap_servers
    send(bootstrap, topic, KEYS * 5)
    consumer = Picky(bootstrap, store, topics=[topic], group=topic, on_poison="bury")
    last = consumer.run_until(committed(5 * len(KEYS)))
    assert [letter.offset for letter in store.dead_letters] == [KEYS.index(SLOW)]
    assert len(kept(store)) == 5 * len(KEYS) - 1
    assert last.buried == 1
    assert positions(store, topic) == {0: 5 * len(KEYS)}


@pytest.mark.requirement("N15")
def test_a_key_in_quarantine_waits_in_its_lane_and_the_other_keys_go_on(
    kafka_broker: KafkaBroker, topic: str
) -> None:
    store, bootstrap = MemoryStore(), kafka_broker.bootstrap_servers
    send(bootstrap, topic, KEYS * 5)
    consumer = Picky(bootstrap, store, topics=[topic], group=topic, on_poison="quarantine")
    last = consumer.run_until(committed(5 * len(KEYS)))
    assert [letter.message.key for letter in store.dead_letters] == [SLOW] * 5
    assert last.parked == 4
    assert {m.key for m in kept(store)} == {*KEYS} - {SLOW}
    again = Keep(bootstrap, store, topics=[topic], group=topic)
    assert again.redrive().done == 5
    assert in_order(kept(store))
    assert len(kept(store)) == 5 * len(KEYS)


def test_a_handler_that_fails_for_good_in_one_lane_ends_the_consumer_and_loses_nothing(
    kafka_broker: KafkaBroker, topic: str
) -> None:
    store, bootstrap = MemoryStore(), kafka_broker.bootstrap_servers
    send(bootstrap, topic, KEYS * 5)
    with pytest.raises(HandlerFailed, match=r"\[0\]@0 \(2 tries\): ValueError: no coffee"):
        Picky(bootstrap, store, topics=[topic], group=topic).run()
    assert positions(store, topic) == {0: 0}
    mended = Keep(bootstrap, store, topics=[topic], group=topic, lanes=2)
    mended.run_until(within(lambda seen: seen.positions.get((topic, 0)) == 5 * len(KEYS)))
    assert sorted(m.offset for m in kept(store)) == [*range(5 * len(KEYS))]
    assert in_order(kept(store))


def test_a_stop_stores_what_the_lanes_have_done_and_lets_all_rows_go(
    kafka_broker: KafkaBroker, topic: str
) -> None:
    store, bootstrap = MemoryStore(), kafka_broker.bootstrap_servers
    send(bootstrap, topic, KEYS * 5)
    Keep(bootstrap, store, topics=[topic], group=topic, lanes=3).run_until(committed(len(KEYS)))
    done = {message.offset for message in kept(store)}
    [floor] = positions(store, topic).values()
    assert {*range(floor)} <= done
    assert floor not in done
    assert {row.owner for row in rows(store, topic).values()} == {""}


@pytest.mark.parametrize("mode", ["at_least_once", "at_most_once"])
def test_the_two_other_modes_handle_each_message_once_where_nothing_fails(
    kafka_broker: KafkaBroker, topic: str, mode: str
) -> None:
    store, bootstrap = MemoryStore(), kafka_broker.bootstrap_servers
    send(bootstrap, topic, KEYS * 10)
    first = Keep(bootstrap, store, topics=[topic], group=topic, lanes=3, mode=mode)
    first.run_until(committed(40))
    done = len(kept(store))
    second = Keep(bootstrap, store, topics=[topic], group=topic, lanes=0, mode=mode)
    second.run_until(within(lambda seen: seen.positions.get((topic, 0)) == 10 * len(KEYS)))
    assert done >= 40
    assert sorted(m.offset for m in kept(store)) == [*range(10 * len(KEYS))]
    assert in_order(kept(store))
