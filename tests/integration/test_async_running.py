"""An AsyncConsumer in this process, on a real broker: how it ends, and who waits for whom."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from consuming import committed, places, rows, within
from pymongo.database import Database
from trial import DEADLINE, MAX_POLL, QUICK, SLOW, Document, Fill, Verdict, positions, verdict

from eoconsumer import AsyncConsumer, ConfigurationError, Message, Snapshot, TopicPartition
from eoconsumer.servers import KafkaBroker
from eoconsumer.stores.memory import MemorySession
from eoconsumer.stores.memory_async import AsyncMemoryStore
from eoconsumer.stores.mongo import AsyncMongoStore

pytestmark = pytest.mark.requirement("N14")


class Keep(AsyncConsumer):
    kafka = QUICK

    async def handle(self, message: Message, session: MemorySession) -> None:
        session.append("kept", message)


def test_it_consumes_what_there_is_and_ends_when_it_is_enough(
    kafka_broker: KafkaBroker, topic: str, fill: Fill
) -> None:
    produced, store = fill(topic, 50), AsyncMemoryStore()
    consumer = Keep(kafka_broker.bootstrap_servers, store, topics=[topic], group=topic)

    seen = asyncio.run(consumer.run_until(committed(50)))

    assert places(store.tables["kept"]) == produced  # type: ignore[arg-type]  # they are messages
    assert seen.positions == {TopicPartition(topic, 0): 50}
    assert [row.owner for row in rows(store.memory, topic).values()] == [""]


@pytest.mark.requirement("S3-14")
@pytest.mark.parametrize(
    ("number", "handler"),
    [
        pytest.param(signal.SIGINT, signal.default_int_handler, id="SIGINT"),
        pytest.param(signal.SIGINT, signal.SIG_IGN, id="SIGINT, ignored in the background"),
        pytest.param(signal.SIGTERM, signal.SIG_DFL, id="SIGTERM"),
    ],
)
def test_a_signal_lets_it_finish_what_is_in_hand(
    kafka_broker: KafkaBroker, topic: str, fill: Fill, number: signal.Signals, handler: Any
) -> None:
    produced, store = fill(topic, 5), AsyncMemoryStore()

    class Signalled(Keep):
        async def handle(self, message: Message, session: MemorySession) -> None:
            await super().handle(message, session)
            if message.offset == 2:
                os.kill(os.getpid(), number)
                await asyncio.sleep(0.1)

    consumer = Signalled(kafka_broker.bootstrap_servers, store, topics=[topic], group=topic)
    before = signal.signal(number, handler)
    try:
        asyncio.run(asyncio.wait_for(consumer.run(), DEADLINE))
        assert signal.getsignal(number) == handler
    finally:
        signal.signal(number, before)

    assert places(store.tables["kept"]) == produced  # type: ignore[arg-type]


def test_a_signal_that_a_server_handles_is_left_to_it(
    kafka_broker: KafkaBroker, topic: str
) -> None:
    consumer = Keep(kafka_broker.bootstrap_servers, AsyncMemoryStore(), topics=[topic], group=topic)

    async def serve() -> Any:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, print)
        before = signal.getsignal(signal.SIGTERM)
        seen: list[Any] = []

        def look(_: Snapshot) -> bool:
            seen.append(signal.getsignal(signal.SIGTERM))
            return True

        await consumer.run_until(look)
        assert seen == [before]

    asyncio.run(serve())


def test_a_second_run_at_the_same_time_is_refused(kafka_broker: KafkaBroker, topic: str) -> None:
    consumer = Keep(kafka_broker.bootstrap_servers, AsyncMemoryStore(), topics=[topic], group=topic)

    async def twice() -> None:
        first = asyncio.create_task(consumer.run())
        await asyncio.sleep(0)
        with pytest.raises(ConfigurationError, match="running already"):
            await consumer.run()
        consumer.stop()
        await first

    asyncio.run(twice())


@pytest.mark.slow
def test_a_slow_handler_does_not_lose_its_partition(
    kafka_broker: KafkaBroker, topic: str, fill: Fill, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "eoconsumer.reader")
    produced, store = fill(topic, 10), AsyncMemoryStore()

    class Slow(Keep):
        kafka = SLOW

        async def handle(self, message: Message, session: MemorySession) -> None:
            await super().handle(message, session)
            if message.offset == 0:
                await asyncio.sleep(MAX_POLL * 1.2)

    consumer = Slow(
        kafka_broker.bootstrap_servers, store, topics=[topic], group=topic, readers=1, batch_size=4
    )
    seen = asyncio.run(consumer.run_until(committed(10)))

    assert places(store.tables["kept"]) == produced  # type: ignore[arg-type]
    assert (seen.claims, seen.fenced) == (1, 0)
    assert "polling for its reader" in caplog.text
    assert "took longer than max.poll.interval.ms" not in caplog.text


@pytest.mark.slow
@pytest.mark.requirement("S3-11")
@pytest.mark.parametrize("topic", [2], indirect=True)
@pytest.mark.parametrize("strategy", ["cooperative-sticky", "range"])
def test_a_member_that_joins_meanwhile_waits_for_the_batch_in_flight(
    kafka_broker: KafkaBroker, topic: str, fill: Fill, strategy: str
) -> None:
    produced, store = fill(topic, 20), AsyncMemoryStore()
    settings: dict[str, Any] = {"topics": [topic], "group": topic, "readers": 1}
    settings["kafka"] = SLOW | {"partition.assignment.strategy": strategy}
    diary: list[str] = []

    async def main() -> None:
        late = asyncio.Event()

        class Slow(Keep):
            async def handle(self, message: Message, session: MemorySession) -> None:
                await super().handle(message, session)
                if not late.is_set():
                    await asyncio.sleep(MAX_POLL * 1.2)
                    late.set()
                    await asyncio.sleep(1.5)
                    diary.append("handled")

            async def on_revoked(self, partitions: list[TopicPartition]) -> None:
                diary.append(f"revoked {len(partitions)}")

        slow = Slow(kafka_broker.bootstrap_servers, store, **settings)
        first = asyncio.create_task(slow.run())
        await late.wait()
        second = Keep(kafka_broker.bootstrap_servers, store, **settings)
        await second.run_until(within(lambda seen: len(seen.positions) >= 1))
        await eventually(lambda: len(store.tables["kept"]) == 20)
        slow.stop()
        await first

    asyncio.run(main())

    assert diary[0] == "handled"
    assert sorted(places(store.tables["kept"])) == produced  # type: ignore[arg-type]


async def eventually(look: Callable[[], bool], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not look():
            await asyncio.sleep(0.02)


class Effects(AsyncConsumer):
    """Writes an effect for each message to a real database."""

    readers = 1
    batch_size = 7
    kafka = QUICK

    async def handle(self, message: Message, session: Any) -> None:
        effect = {"partition": message.partition, "offset": message.offset}
        effect["handled_at"] = time.monotonic_ns()
        await self.store.database["effects"].insert_one(effect, session=session)  # type: ignore[attr-defined]


#: The effects of a run at which it is cancelled, while they are carried out.
EFFECTS = ["Claim", "Begin", "Handle", "Advance", "Commit", "AfterCommit", "Poll"]


@pytest.mark.slow
@pytest.mark.requirement("S3-06", "S3-14")
@pytest.mark.parametrize("name", EFFECTS)
def test_cancelled_at_any_effect_on_real_servers_it_leaves_nothing_half_done(
    name: str,
    kafka_broker: KafkaBroker,
    topic: str,
    fill: Fill,
    store_url: str,
    database: Database[Document],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    produced = fill(topic, 21)
    cancelled_at(name, monkeypatch, count=1 if name == "Claim" else 2)

    async def cancelled() -> None:
        store = AsyncMongoStore.connect(store_url)
        consumer = Effects(kafka_broker.bootstrap_servers, store, topics=[topic], group=topic)
        Cancelled.task = asyncio.create_task(consumer.run())
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(60):
                await Cancelled.task
        left = [t.get_name() for t in asyncio.all_tasks() if "eoconsumer" in t.get_name()]
        assert left == []
        await store.close()

    asyncio.run(cancelled())
    monkeypatch.undo()
    stored = positions(database).get(0, 0)
    seen = {(row["partition"], row["offset"]) for row in database["effects"].find()}
    assert seen == set(produced[:stored])

    async def rest() -> None:
        store = AsyncMongoStore.connect(store_url)
        consumer = Effects(kafka_broker.bootstrap_servers, store, topics=[topic], group=topic)
        await consumer.run_until(within(lambda seen: 21 in seen.positions.values()))
        await store.close()

    asyncio.run(rest())
    assert verdict(database, produced) == Verdict()


class Cancelled:
    """The run that a test cancels."""

    task: asyncio.Task[None]


def cancelled_at(name: str, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Cancel ``Cancelled.task`` while the ``count``-th effect of that name is carried out."""
    from eoconsumer.runner_async.reader import AsyncReader

    carry_out: Callable[..., Coroutine[Any, Any, Any]] = AsyncReader._carry_out
    seen = 0

    async def counted(self: AsyncReader, effect: Any) -> Any:
        nonlocal seen
        if type(effect).__name__ == name:
            seen += 1
            if seen == count:
                asyncio.get_running_loop().call_later(0.001, Cancelled.task.cancel)
        return await carry_out(self, effect)

    monkeypatch.setattr(AsyncReader, "_carry_out", counted)
