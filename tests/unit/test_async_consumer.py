"""What an AsyncConsumer does with its handlers, on the in-memory store and without Kafka."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any
from unittest.mock import patch

import pytest
from on_loop import SERVERS, Cancelling, OnLoop, logs, place

from eoconsumer import (
    AsyncConsumer,
    ConfigurationError,
    HandlerFailed,
    Message,
    RetryPolicy,
    TopicPartition,
)
from eoconsumer.stores.memory import MemorySession, MemoryStore
from eoconsumer.stores.memory_async import (
    AsyncMemoryStore,
    AsyncMemoryStoreSession,
    AsyncMemoryTransaction,
)

AT_ONCE = RetryPolicy(attempts=2, minimum=0.0, maximum=0.0)


class Ledger(AsyncConsumer):
    topics = "orders"
    group = "ledger"
    readers = 1
    retry = AT_ONCE

    async def handle(self, message: Message, session: MemorySession) -> None:
        await asyncio.sleep(0)
        session.append("ledger", place(message))


def every(partitions: int, messages: int) -> list[tuple[int, int]]:
    return [(p, offset) for p in range(partitions) for offset in range(messages)]


@pytest.mark.requirement("N14")
def test_each_message_is_handled_once_and_in_order() -> None:
    store = AsyncMemoryStore()

    asyncio.run(OnLoop(Ledger(SERVERS, store), logs(3, 20)).all())

    assert sorted(store.tables["ledger"]) == every(3, 20)  # type: ignore[type-var]  # tuples
    for number in range(3):
        own = [offset for p, offset in store.tables["ledger"] if p == number]  # type: ignore[misc]
        assert own == sorted(own)


def test_a_handler_of_runs_and_one_that_returns_writes_are_awaited() -> None:
    class Runs(AsyncConsumer):
        topics, group = "orders", "runs"

        async def handle_batch(self, messages: Sequence[Message], session: MemorySession) -> None:
            await asyncio.sleep(0)
            for message in messages:
                session.append("runs", place(message))

    class Plain(AsyncConsumer):
        topics, group = "orders", "plain"

        def writes(self, message: Message) -> Iterator[Any]:
            yield "plain", place(message)

    class Awaited(AsyncConsumer):
        topics, group = "orders", "awaited"

        async def writes(self, message: Message) -> Any:
            await asyncio.sleep(0)
            return (("awaited", place(message)),)

    class Yielding(AsyncConsumer):
        topics, group = "orders", "yielding"

        async def writes(self, message: Message) -> AsyncIterator[Any]:
            await asyncio.sleep(0)
            yield "yielding", place(message)

    store = AsyncMemoryStore()
    for kind in (Runs, Plain, Awaited, Yielding):
        asyncio.run(OnLoop(kind(SERVERS, store, readers=1), logs(1, 10)).all())

    for name in ("runs", "plain", "awaited", "yielding"):
        assert store.tables[name] == every(1, 10)


def test_hooks_and_stages_are_awaited() -> None:
    told: list[Any] = []

    class Told(Ledger):
        async def after_commit(self, messages: Sequence[Message]) -> None:
            await asyncio.sleep(0)
            told.extend(map(place, messages))

        async def on_assigned(self, partitions: list[TopicPartition]) -> None:
            await asyncio.sleep(0)
            told.append(("assigned", *partitions))

        async def on_revoked(self, partitions: list[TopicPartition]) -> None:
            await asyncio.sleep(0)
            told.append(("revoked", *partitions))

    asyncio.run(OnLoop(Told(SERVERS, AsyncMemoryStore()), logs(1, 3)).all())

    orders = TopicPartition("orders", 0)
    assert told == [("assigned", orders), *every(1, 3), ("revoked", orders)]


def test_a_decoder_may_be_awaited_and_what_it_cannot_decode_is_poison() -> None:
    class Decoding(Ledger):
        on_poison = "bury"

        async def decode(self, message: Message) -> int:
            await asyncio.sleep(0)
            if message.offset == 2:
                raise ValueError("not a number")
            return message.offset * 10

        async def handle(self, message: Message[int], session: MemorySession) -> None:
            session.append("ledger", message.value)

    store = AsyncMemoryStore()
    asyncio.run(OnLoop(Decoding(SERVERS, store), logs(1, 4)).all())

    assert store.tables["ledger"] == [0, 10, 30]
    assert [letter.message.offset for letter in store.dead_letters] == [2]


def test_a_handler_that_fails_for_good_ends_the_run() -> None:
    class Failing(Ledger):
        async def handle(self, message: Message, session: MemorySession) -> None:
            if message.offset == 3:
                raise ZeroDivisionError
            await super().handle(message, session)

    store = AsyncMemoryStore()
    with pytest.raises(HandlerFailed, match=r"orders\[0\]@3"):
        asyncio.run(OnLoop(Failing(SERVERS, store), logs(1, 6)).all())

    assert store.tables["ledger"] == every(1, 3)


def test_the_loop_is_free_while_a_reader_waits_for_its_source() -> None:
    turns = 0

    async def turning() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def main() -> int:
        other = asyncio.create_task(turning())
        running = OnLoop(Ledger(SERVERS, AsyncMemoryStore()), logs(1, 1))
        running.source(0)
        polling = asyncio.Event()
        loop = asyncio.get_running_loop()

        def poll(*_: object) -> list[Any]:
            loop.call_soon_threadsafe(polling.set)
            time.sleep(0.2)  # as librdkafka does where there are no messages
            return []

        with patch("eoconsumer.testing.fed_source.FedSource.poll", poll):
            task = asyncio.create_task(running.run(lambda _: False))
            await polling.wait()
            before = turns
            await asyncio.sleep(0.1)
            seen = turns - before
            task.cancel()
            await asyncio.wait([task])
        other.cancel()
        return seen

    assert asyncio.run(main()) > 100


class Poisoned(Ledger):
    """Meets a message that fails, so that there is something to bury."""

    batch_size = 3
    on_poison = "bury"

    async def handle(self, message: Message, session: MemorySession) -> None:
        await super().handle(message, session)
        if place(message) == (0, 2):
            raise ValueError("it cannot be done")


POISONED = [each for each in every(2, 5) if each != (0, 2)]


async def cancelled_at(number: int, consumer: Poisoned) -> bool:
    """Return whether ``consumer`` waits so often that it was cancelled, and check what it left."""
    store: Any = consumer.store
    cancelling = Cancelling(number)
    create_task = asyncio.create_task

    def counting(steps: Any, **how: Any) -> asyncio.Task[Any]:
        return cancelling.task(steps) if steps.__name__ == "_read" else create_task(steps, **how)

    with patch("eoconsumer.runner_async.runner.asyncio.create_task", counting):
        try:
            await OnLoop(consumer, logs(2, 5)).all()
        except asyncio.CancelledError:
            pass
        else:
            return False
    memory: MemoryStore = store.memory
    stored = {key.partition.partition: row.next_offset for key, row in memory.rows.items()}
    done = [(p, offset) for p, upto in stored.items() for offset in range(upto)]
    assert sorted(memory.tables["ledger"]) == [e for e in done if e != (0, 2)]  # type: ignore[type-var]
    assert [place(x.message) for x in memory.dead_letters] == [e for e in done if e == (0, 2)]
    return True


@pytest.mark.requirement("N14")
def test_wherever_it_is_cancelled_nothing_is_half_done_and_the_next_run_does_the_rest() -> None:
    async def main() -> int:
        number = 0
        while True:
            number += 1
            store = AsyncMemoryStore()
            if not await cancelled_at(number, Poisoned(SERVERS, store)):
                return number
            await OnLoop(Poisoned(SERVERS, store), logs(2, 5)).all()
            assert sorted(store.tables["ledger"]) == POISONED  # type: ignore[type-var]
            assert [place(letter.message) for letter in store.dead_letters] == [(0, 2)]

    assert asyncio.run(main()) > 50


def test_a_run_that_is_cancelled_again_and_again_still_gives_up_in_order() -> None:
    closed: list[str] = []
    store = AsyncMemoryStore()
    started = asyncio.Event()

    class Slow(Ledger):
        async def handle(self, message: Message, session: MemorySession) -> None:
            session.append("ledger", place(message))
            started.set()
            await asyncio.sleep(60)

        async def on_revoked(self, partitions: list[TopicPartition]) -> None:
            await asyncio.sleep(0.05)
            closed.extend(partition.topic for partition in partitions)

    async def main() -> None:
        task = asyncio.create_task(OnLoop(Slow(SERVERS, store), logs(1, 1)).run(lambda _: False))
        await started.wait()
        while not task.done():
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())

    assert closed == ["orders"]
    assert store.tables["ledger"] == []
    assert [row.owner for row in store.memory.rows.values()] == [""]


@pytest.mark.parametrize("name", ["handle", "handle_batch", "after_commit", "on_revoked"])
def test_what_would_block_the_loop_is_refused(name: str) -> None:
    members = {"handle": Ledger.handle} if name in ("after_commit", "on_revoked") else {}
    members[name] = lambda *_: None
    kind = type("Mistaken", (AsyncConsumer,), {"topics": "orders", "group": "g", **members})

    with pytest.raises(ConfigurationError, match="async def"):
        kind(SERVERS, AsyncMemoryStore())


def test_a_store_that_blocks_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="blocks the event loop"):
        Ledger(SERVERS, MemoryStore())  # type: ignore[arg-type]  # that is the mistake


def test_a_batch_is_begun_handled_and_committed_by_one_task() -> None:
    """Or a session that is bound to a task's context would not be bound in its handler."""
    tasks: set[Any] = set()

    class Seen(Ledger):
        async def handle(self, message: Message, session: MemorySession) -> None:
            tasks.add(asyncio.current_task())
            await super().handle(message, session)

    def seen(call: Callable[..., Any]) -> Callable[..., Any]:
        async def by_whom(*args: Any) -> Any:
            tasks.add(asyncio.current_task())
            return await call(*args)

        return by_whom

    with (
        patch.object(
            AsyncMemoryStoreSession, "transaction", seen(AsyncMemoryStoreSession.transaction)
        ),
        patch.object(AsyncMemoryTransaction, "advance", seen(AsyncMemoryTransaction.advance)),
        patch.object(AsyncMemoryTransaction, "commit", seen(AsyncMemoryTransaction.commit)),
    ):
        asyncio.run(OnLoop(Seen(SERVERS, AsyncMemoryStore()), logs(2, 5)).all())

    assert len(tasks) == 1


def test_a_claim_within_a_poll_comes_to_its_end_before_a_cancelled_reader_gives_up() -> None:
    """1. A poll claims, 2. the reader is cancelled, 3. both would change the partitions' states."""
    told: list[str] = []
    begun = asyncio.Event()
    claim = AsyncMemoryStoreSession.claim

    async def slowly(self: AsyncMemoryStoreSession, *args: Any) -> Any:
        told.append("claiming")
        begun.set()
        await asyncio.sleep(0.1)
        claims = await claim(self, *args)
        told.append("claimed")
        return claims

    class Told(Ledger):
        async def on_revoked(self, partitions: list[TopicPartition]) -> None:
            told.append(f"revoked {len(partitions)}")

    async def main() -> None:
        running = OnLoop(Told(SERVERS, AsyncMemoryStore()), logs(2, 1))
        task = asyncio.create_task(running.run(lambda _: False))
        await begun.wait()
        task.cancel()
        await asyncio.wait([task])

    with patch.object(AsyncMemoryStoreSession, "claim", slowly):
        asyncio.run(main())

    assert told[0] == "claiming"
    assert told[-2:] == ["claimed", "revoked 2"]


def test_a_run_that_is_cancelled_again_and_again_while_it_drains_gives_up_in_order() -> None:
    closed: list[str] = []
    store = AsyncMemoryStore()
    draining = asyncio.Event()

    class Slow(Ledger):
        async def on_revoked(self, partitions: list[TopicPartition]) -> None:
            draining.set()
            await asyncio.sleep(0.05)
            closed.extend(partition.topic for partition in partitions)

    async def main() -> None:
        running = OnLoop(Slow(SERVERS, store), logs(1, 1))
        task = asyncio.create_task(running.all())
        await draining.wait()
        while not task.done():
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())

    assert closed == ["orders"]
    assert [row.owner for row in store.memory.rows.values()] == [""]


def test_dead_letters_are_applied_again_in_order_and_once() -> None:
    store = AsyncMemoryStore()
    asyncio.run(OnLoop(Poisoned(SERVERS, store), logs(2, 5)).all())
    assert [place(letter.message) for letter in store.dead_letters] == [(0, 2)]

    done = asyncio.run(Ledger(SERVERS, store).redrive())

    assert (done.done, done.stayed) == (1, 0)
    assert store.dead_letters == []
    assert sorted(store.tables["ledger"]) == every(2, 5)  # type: ignore[type-var]


def test_a_dead_letter_whose_handler_fails_again_stays() -> None:
    store = AsyncMemoryStore()
    asyncio.run(OnLoop(Poisoned(SERVERS, store), logs(2, 5)).all())

    done = asyncio.run(Poisoned(SERVERS, store).redrive())

    assert (done.done, done.stayed) == (0, 1)
    assert [letter.attempts for letter in store.dead_letters] == [3]
    assert sorted(store.tables["ledger"]) == POISONED  # type: ignore[type-var]
