"""Key lanes of an AsyncConsumer, on the in-memory store and without Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

import pytest
from laned import (
    KEYS,
    LANES,
    ORDERS,
    OTHERS,
    SLOW,
    Blocked,
    Keep,
    assert_each_once,
    eventually,
    floors,
    kept,
    owners,
)
from on_loop import SERVERS, OnLoop, logs, place

from eoconsumer import (
    AsyncConsumer,
    HandlerFailed,
    Message,
    RetryPolicy,
    StoreError,
    TopicPartition,
)
from eoconsumer.core.lanes import WHOLE, Lane
from eoconsumer.stores.memory import MemorySession
from eoconsumer.stores.memory_async import AsyncMemoryStore, AsyncMemoryTransaction
from eoconsumer.testing.fed_source import FedSource

pytestmark = pytest.mark.requirement("N2", "N14")


def test_each_message_is_handled_once_and_those_of_a_key_in_order() -> None:
    store, input_ = AsyncMemoryStore(), logs(3, 40, KEYS)

    asyncio.run(OnLoop(Keep(SERVERS, store, batch_size=5), input_).all())

    assert_each_once(store, input_)
    assert owners(store) == {""}
    assert {key.lane for key in store.memory.rows} == {
        WHOLE,
        *(Lane(number, LANES) for number in range(1, LANES + 1)),
    }


def test_writes_and_runs_are_handled_in_lanes_as_well() -> None:
    class Writes(AsyncConsumer):
        topics, group, lanes = "orders", "writes", 3

        async def writes(self, message: Message) -> Any:
            await asyncio.sleep(0)
            return [("kept", message)]

    class Runs(AsyncConsumer):
        topics, group, lanes = "orders", "runs", 3

        async def handle_batch(self, messages: Sequence[Message], session: MemorySession) -> None:
            await asyncio.sleep(0)
            for message in messages:
                session.append("kept", message)

    for kind in (Writes, Runs):
        store, input_ = AsyncMemoryStore(), logs(2, 20, KEYS)
        asyncio.run(OnLoop(kind(SERVERS, store, readers=1), input_).all())
        assert_each_once(store, input_)


def test_as_many_messages_of_one_partition_are_at_work_at_once_as_there_are_lanes() -> None:
    at_work, most = 0, 0

    async def main() -> None:
        together = asyncio.Barrier(LANES)

        class Together(Keep):
            async def handle(self, message: Message, session: MemorySession) -> None:
                nonlocal at_work, most
                at_work += 1
                most = max(most, at_work)
                async with asyncio.timeout(20):
                    await together.wait()
                at_work -= 1
                await super().handle(message, session)

        # Without keys the offset says which lane: each gets three of them.
        store, input_ = AsyncMemoryStore(), logs(1, 3 * LANES)
        await OnLoop(Together(SERVERS, store, batch_size=3 * LANES), input_).all()
        assert_each_once(store, input_)

    asyncio.run(main())

    assert most == LANES


def test_one_slow_key_holds_back_no_key_of_another_lane_and_no_idle_lane() -> None:
    store, input_ = AsyncMemoryStore(), logs(1, 5 * KEYS, KEYS)

    async def main() -> None:
        consumer = Blocked(SERVERS, store)
        running = asyncio.create_task(OnLoop(consumer, input_).all())
        await eventually(lambda: len(kept(store)) == 5 * len(OTHERS))
        assert consumer.reached.is_set()
        assert {m.key for m in kept(store)} == {b"key-%d" % n for n in OTHERS}
        assert floors(store) == {0: 0}
        consumer.go_on.set()
        await running

    asyncio.run(main())

    assert_each_once(store, input_)
    assert floors(store) == {0: 5 * KEYS}, "the lanes with nothing to do were passed over"


def test_a_lane_with_a_long_backlog_pauses_its_partition_and_resumes_it_when_half_is_done() -> None:
    store, input_ = AsyncMemoryStore(), logs(2, 60, 1)  # all of one key, and so of one lane
    told: list[str] = []

    async def main() -> None:
        consumer = Blocked(SERVERS, store, batch_size=10)
        with (
            patch.object(FedSource, "pause", lambda _, keys: told.append(f"pause {len(keys)}")),
            patch.object(FedSource, "resume", lambda _, keys: told.append(f"resume {len(keys)}")),
        ):
            running = asyncio.create_task(OnLoop(consumer, input_).all())
            await consumer.reached.wait()
            await eventually(lambda: "pause 1" in told)
            assert "resume 1" not in told
            consumer.go_on.set()
            await running

    asyncio.run(main())

    assert "resume 1" in told
    assert_each_once(store, input_)


def test_a_lane_that_loses_its_database_has_its_reader_and_all_lanes_start_again() -> None:
    store, input_ = AsyncMemoryStore(), logs(1, 5 * KEYS, KEYS)
    commit, commits = AsyncMemoryTransaction.commit, 0

    async def failing(self: AsyncMemoryTransaction) -> None:
        nonlocal commits
        commits += 1
        if commits == 3:
            raise StoreError("the database is gone")
        await commit(self)

    restart = RetryPolicy(attempts=2, minimum=0.0, maximum=0.0)
    with patch.object(AsyncMemoryTransaction, "commit", failing):
        consumer = Keep(SERVERS, store, batch_size=3, restart=restart)
        seen = asyncio.run(OnLoop(consumer, input_).all())

    assert seen.restarts == 1
    assert_each_once(store, input_)


class Picky(Keep):
    """Refuses one message."""

    async def handle(self, message: Message, session: MemorySession) -> None:
        await super().handle(message, session)
        if place(message) == (0, KEYS):  # the second of the slow key
            raise ValueError("no coffee")


def test_a_poison_message_in_one_lane_is_buried_and_the_others_go_on() -> None:
    store, input_ = AsyncMemoryStore(), logs(2, 5 * KEYS, KEYS)

    seen = asyncio.run(OnLoop(Picky(SERVERS, store, on_poison="bury"), input_).all())

    assert [place(letter.message) for letter in store.dead_letters] == [(0, KEYS)]
    assert len(kept(store)) == 2 * 5 * KEYS - 1
    assert seen.buried == 1


@pytest.mark.requirement("N15")
def test_a_key_in_quarantine_waits_in_its_lane_and_the_other_keys_go_on() -> None:
    store, input_ = AsyncMemoryStore(), logs(1, 5 * KEYS, KEYS)

    asyncio.run(OnLoop(Picky(SERVERS, store, on_poison="quarantine"), input_).all())

    assert [letter.message.key for letter in store.dead_letters] == [SLOW] * 4
    assert asyncio.run(Keep(SERVERS, store).redrive()).done == 4
    assert_each_once(store, input_)


def test_a_handler_that_fails_for_good_in_one_lane_ends_the_run_and_loses_nothing() -> None:
    store, input_ = AsyncMemoryStore(), logs(1, 5 * KEYS, KEYS)

    with pytest.raises(HandlerFailed, match=rf"orders\[0\]@{KEYS} \(2 tries\): ValueError"):
        asyncio.run(OnLoop(Picky(SERVERS, store), input_).all())

    assert owners(store) == {""}
    asyncio.run(OnLoop(Keep(SERVERS, store, lanes=3), input_).all())
    assert_each_once(store, input_)


@pytest.mark.parametrize("mode", ["at_least_once", "at_most_once"])
def test_the_two_other_modes_handle_each_message_once_where_nothing_fails(mode: str) -> None:
    store, input_ = AsyncMemoryStore(), logs(2, 5 * KEYS, KEYS)

    asyncio.run(
        OnLoop(Keep(SERVERS, store, mode=mode), input_).run(lambda seen: seen.committed > 20)
    )
    asyncio.run(OnLoop(Keep(SERVERS, store, lanes=2, mode=mode), input_).all())

    assert_each_once(store, input_)


def test_the_user_is_told_of_a_partition_once_and_of_each_message_after_its_commit() -> None:
    told: list[Any] = []

    class Told(Keep):
        async def after_commit(self, messages: Sequence[Message]) -> None:
            told.extend(map(place, messages))

        async def on_assigned(self, partitions: list[TopicPartition]) -> None:
            told.append(("assigned", *partitions))

        async def on_revoked(self, partitions: list[TopicPartition]) -> None:
            told.append(("revoked", *partitions))

    asyncio.run(OnLoop(Told(SERVERS, AsyncMemoryStore()), logs(1, 10, KEYS)).all())

    assert told[0] == ("assigned", ORDERS)
    assert sorted(told[1:-1]) == [(0, offset) for offset in range(10)]
    assert told[-1] == ("revoked", ORDERS)
