"""What is handed to handlers, how much at once, for how long, and what is told about it."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from consuming import Keep, committed, kept, places, running, within
from trial import Fill, eventually

from eoconsumer import Consumer, Events, Message, RetryPolicy, TopicPartition, Trace
from eoconsumer.errors import HandlerFailed, TransientStoreError
from eoconsumer.servers import KafkaBroker
from eoconsumer.stores.memory import MemoryStore, MemoryStoreSession

pytestmark = pytest.mark.slow

QUICKLY = RetryPolicy(attempts=3, minimum=0.01)


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def bootstrap(kafka_broker: KafkaBroker) -> str:
    return kafka_broker.bootstrap_servers


# --- how much at once -----------------------------------------------------------------------------


@pytest.mark.requirement("S3-12")
@pytest.mark.parametrize("topic", [6], indirect=True)
@pytest.mark.parametrize("readers", [1, 3])
def test_at_most_max_partitions_are_worked_on_at_once(
    bootstrap: str, topic: str, memory: MemoryStore, fill: Fill, readers: int
) -> None:
    lock, open_, most = threading.Lock(), {}, []

    class Counting(Consumer, Events):
        def handle_batch(self, messages: list[Message], session: Any) -> None:
            session.append("kept", messages)
            with lock:  # a partition is at work until its transaction has ended
                open_.setdefault(threading.get_ident(), set()).add(messages[0].partition)
                most.append(len(set().union(*open_.values())))
            time.sleep(0.005)

        def committed(self, runs: Any, seconds: float) -> None:  # noqa: ARG002 - a hook
            with lock:
                open_.pop(threading.get_ident(), None)

    fill(topic, 600)
    settings: dict[str, Any] = {"topics": [topic], "group": topic, "batch_size": 20}
    hooks = Counting(bootstrap, memory, **settings)
    consumer = Counting(
        bootstrap, memory, readers=readers, max_partitions=2, events=hooks, **settings
    )
    consumer.run_until(committed(600))
    runs: Any = kept(memory)
    assert sum(map(len, runs)) == 600
    assert max(most) <= 2


@pytest.mark.requirement("S3-12")
def test_a_slow_handler_lets_no_more_wait_in_memory_than_it_will_take_soon(
    bootstrap: str, topic: str, memory: MemoryStore, fill: Fill
) -> None:
    fetched, waiting = 0, [0]

    class Slow(Consumer):
        def decode(self, message: Message[bytes]) -> bytes:
            nonlocal fetched
            fetched += 1
            return message.value

        def handle(self, message: Message[bytes], session: Any) -> None:
            session.append("kept", message)
            time.sleep(0.002)
            waiting.append(fetched - message.offset)

    fill(topic, 5000)
    Slow(bootstrap, memory, topics=[topic], group=topic).run_until(committed(800))
    assert max(waiting) <= 1_200  # two batches of a second each; it handles 500 a second at most
    assert waiting[-1] <= fetched < 5000


@pytest.mark.requirement("S3-13")
@pytest.mark.parametrize("topic", [6], indirect=True)
def test_readers_share_the_partitions_and_nothing_is_done_twice(
    bootstrap: str, topic: str, memory: MemoryStore, fill: Fill
) -> None:
    owners: dict[int, int] = {}

    class Sharing(Keep):
        def on_assigned(self, partitions: list[TopicPartition]) -> None:
            owners.update({key.partition: threading.get_ident() for key in partitions})

    consumer = Sharing(bootstrap, memory, topics=[topic], group=topic, readers=3)
    with running(consumer):
        eventually(lambda: sorted(Counter(owners.values()).values()) == [2, 2, 2])
        produced = fill(topic, 600)
        eventually(lambda: consumer.snapshot().committed >= 600)
    assert sorted(places(kept(memory))) == produced


# --- for how long ---------------------------------------------------------------------------------


def test_a_batch_that_takes_longer_than_a_transaction_may_is_done_in_smaller_ones(
    bootstrap: str, topic: str, memory: MemoryStore, fill: Fill
) -> None:
    tries = 0

    class Slow(Keep):
        def handle(self, message: Message, session: Any) -> None:
            nonlocal tries
            tries += 1
            super().handle(message, session)
            time.sleep(0.02)

    produced = fill(topic, 60)
    memory.transaction_seconds = 0.5
    Slow(bootstrap, memory, topics=[topic], group=topic).run_until(committed(60))
    assert places(kept(memory)) == produced
    assert tries > 60


@pytest.mark.parametrize("form", ["handle", "batch"])
def test_one_message_that_takes_longer_than_a_transaction_may_fails_with_the_reason(
    bootstrap: str, topic: str, memory: MemoryStore, fill: Fill, form: Any
) -> None:
    consumer = Consumer(bootstrap, memory, group=topic, retry=RetryPolicy(2, 0.01))

    @consumer.on(topic, form=form)
    def slow(given: Any, session: Any) -> None:
        for message in [given] if form == "handle" else given:
            session.append("kept", message)
            if message.offset == 3:
                time.sleep(1.5)

    fill(topic, 5)
    memory.transaction_seconds = 1.0
    with pytest.raises(HandlerFailed, match=r"\[0\]@3 .*longer for .* than a transaction"):
        consumer.run_until(within(lambda _: False))
    assert places(kept(memory)) == [(0, 0), (0, 1), (0, 2)]


def test_a_transaction_that_the_database_ended_for_its_age_is_not_tried_for_ever(
    bootstrap: str, topic: str, fill: Fill
) -> None:
    class Ended(Exception):  # noqa: N818 - what the database says
        """The transaction is gone: try again."""

    class Session(MemoryStoreSession):
        def translate(self, error: BaseException) -> BaseException:
            return TransientStoreError() if isinstance(error, Ended) else error

    class Aging(MemoryStore):
        def open(self, group: str, owner: str) -> MemoryStoreSession:
            return Session(self, group, owner)

    class Slow(Keep):
        def handle(self, message: Message, session: Any) -> None:  # noqa: ARG002 - it fails
            time.sleep(0.3)
            raise Ended

    fill(topic, 1)
    store = Aging()
    store.transaction_seconds = 0.2
    with pytest.raises(HandlerFailed, match="than a transaction may take"):
        Slow(bootstrap, store, topics=[topic], group=topic, retry=QUICKLY).run_until(
            within(lambda _: False)
        )
    assert kept(store) == []


# --- failures -------------------------------------------------------------------------------------


@pytest.mark.requirement("S3-24")
@pytest.mark.parametrize("topic", [2], indirect=True)
def test_while_one_partition_is_retried_with_growing_pauses_the_other_goes_on(
    bootstrap: str, topic: str, memory: MemoryStore, fill: Fill
) -> None:
    seen: list[tuple[int, float]] = []
    delays: list[float] = []

    class Hooks(Events):
        def retry(self, **details: Any) -> None:
            delays.append(details["delay"])

    class Failing(Keep):
        def handle(self, message: Message, session: Any) -> None:
            seen.append((message.partition, time.monotonic()))
            tried, others = (len([p for p, _ in seen if p == n]) for n in (0, 1))
            if message.partition == 0 and (tried <= 3 or others < 50):
                raise ValueError("not yet")
            super().handle(message, session)

    fill(topic, 100)
    policy = RetryPolicy(attempts=1000, minimum=0.2, maximum=0.8, jitter=0.0)
    settings: dict[str, Any] = {"topics": [topic], "group": topic, "retry": policy, "readers": 1}
    Failing(bootstrap, memory, events=Hooks(), **settings).run_until(committed(100))
    assert delays[:3] == [0.2, 0.4, 0.8]
    times = [at for partition, at in seen if partition == 0][: len(delays) + 1]
    for delay, (before, after) in zip(delays, pairwise(times), strict=True):
        assert after - before >= delay
    assert places(kept(memory))[-50:] == [(0, n) for n in range(50)]


class Hooks(Events):
    """Remembers the names of the hooks that were called, and does harm each time."""

    def __init__(self) -> None:
        self.called: set[str] = set()

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_") or name == "called":
            return super().__getattribute__(name)

        def broken(*_: Any, **__: Any) -> None:
            self.called.add(name)
            raise RuntimeError("a hook that is broken")

        return broken


@pytest.mark.parametrize("on_poison", ["skip", "bury"])
def test_hooks_are_called_and_their_errors_do_no_harm(
    bootstrap: str, topic: str, memory: MemoryStore, fill: Fill, on_poison: str
) -> None:
    hooks = Hooks()

    class Failing(Keep):
        def handle(self, message: Message, session: Any) -> None:
            if message.offset == 3:
                raise ValueError("three")
            super().handle(message, session)

        def after_commit(self, messages: Any) -> None:
            raise ValueError(messages)

        def on_assigned(self, partitions: Any) -> None:
            raise ValueError(partitions)

        on_revoked = on_assigned

    fill(topic, 6)
    settings: dict[str, Any] = {"topics": [topic], "group": topic, "on_poison": on_poison}
    consumer = Failing(bootstrap, memory, retry=QUICKLY, events=hooks, **settings)
    seen = consumer.run_until(committed(6))
    assert [offset for _, offset in places(kept(memory))] == [0, 1, 2, 4, 5]
    decided = {"skip": "skipped", "bury": "buried"}[on_poison]
    assert hooks.called >= {"claimed", "committed", "retry", decided, "stage_failed"}
    assert (seen.retries, getattr(seen, decided)) == (2, 1)
    assert len(memory.dead_letters) == (on_poison == "bury")


# --- traces ---------------------------------------------------------------------------------------


@pytest.mark.requirement("S3-25")
@pytest.mark.parametrize("mode", ["exactly_once", "at_least_once", "at_most_once"])
@pytest.mark.parametrize("form", ["handle", "handle_batch"])
def test_every_message_leaves_a_trace_of_each_stage(
    bootstrap: str, topic: str, memory: MemoryStore, fill: Fill, mode: str, form: Any
) -> None:
    traces: list[Trace] = []

    class Tracing(Events):
        def trace(self, trace: Trace) -> None:
            traces.append(trace)

    class Staged(Consumer):
        def after_commit(self, messages: Any) -> None:
            """Do nothing."""

    fill(topic, 5)
    kind = type("Kind", (Staged,), {form: lambda *_: time.sleep(0.01)})
    consumer = kind(bootstrap, memory, topics=[topic], group=topic, mode=mode, events=Tracing())
    consumer.run_until(committed(5))
    for stage in ("handle", "after_commit"):
        of_stage = [t for t in traces if t.stage == stage]
        assert [(t.topic, t.partition, t.offset) for t in of_stage] == [
            (topic, 0, n) for n in range(5)
        ]
        assert all(t.attempt == 1 and t.error is None and t.seconds >= 0 for t in of_stage)
    assert all(t.seconds >= 0.001 for t in traces if t.stage == "handle")


@pytest.mark.requirement("S3-25")
def test_the_trace_of_a_retry_counts_its_attempts_and_goes_to_the_log_as_data(
    bootstrap: str, topic: str, memory: MemoryStore, fill: Fill, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "eoconsumer.trace")

    class Failing(Keep):
        def handle(self, message: Message, session: Any) -> None:
            records = [r for r in caplog.records if r.name == "eoconsumer.trace"]
            if message.offset == 1 and len(records) < 3:
                raise ValueError("not yet")
            super().handle(message, session)

    fill(topic, 2)
    settings: dict[str, Any] = {"topics": [topic], "group": topic, "retry": QUICKLY}
    Failing(bootstrap, memory, **settings).run_until(committed(2))
    told = [r.__dict__["trace"] for r in caplog.records if r.name == "eoconsumer.trace"]
    assert {"topic", "partition", "offset", "attempt", "stage", "seconds", "error"} == set(told[0])
    failing = [(t["offset"], t["attempt"], bool(t["error"])) for t in told if t["offset"] == 1]
    assert failing[-1] == (1, len(failing), False)
    assert [attempt for _, attempt, _ in failing] == list(range(1, len(failing) + 1))
