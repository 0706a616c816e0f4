"""Lanes of an AsyncConsumer that is cancelled, or whose partitions go: nothing is half done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import patch

import pytest
from laned import (
    KEYS,
    LANES,
    ORDERS,
    SLOW,
    Blocked,
    Keep,
    assert_each_once,
    eventually,
    kept,
    owners,
)
from on_loop import SERVERS, Cancelling, Logs, OnLoop, logs

from eoconsumer import AsyncConsumer, Message, TopicPartition
from eoconsumer.core.lanes import WHOLE
from eoconsumer.stores.memory import MemoryStore
from eoconsumer.stores.memory_async import AsyncMemoryStore, AsyncMemoryStoreSession
from eoconsumer.testing.fed_source import FedSource

pytestmark = pytest.mark.requirement("N2", "N14")

# --- cancellation --------------------------------------------------------------------------------


class CancellingAll(Cancelling):
    """Counts what a reader and its lanes wait for, and cancels the run at one of these."""

    def __init__(self, number: int, run: asyncio.Task[Any]) -> None:
        super().__init__(number)
        self._run = run

    def now(self) -> None:
        self._run.cancel()


async def cancelled_at(number: int, consumer: Keep, input_: Logs) -> bool:
    """Return whether ``consumer`` waits so often that it was cancelled, and check what it left."""
    store: Any = consumer.store
    create_task = asyncio.create_task
    run = asyncio.current_task()
    assert run is not None
    cancelling = CancellingAll(number, run)

    def counting(steps: Any, **how: Any) -> asyncio.Task[Any]:
        ours = steps.__qualname__ in ("AsyncDealerReader._read", "AsyncLanes._run")
        return cancelling.task(steps) if ours else create_task(steps, **how)

    with patch("eoconsumer.runner_async.lanes.asyncio.create_task", counting):
        try:
            await OnLoop(consumer, input_).all()
        except asyncio.CancelledError:
            run.uncancel()
        else:
            return False
    assert not [task for task in asyncio.all_tasks() if task is not run], "it left tasks behind"
    memory: MemoryStore = store.memory
    for key, row in memory.rows.items():
        if key.lane != WHOLE:
            own = [m.offset for m in kept(store) if m.partition == key.partition.partition]
            records = [r for r in input_[key.partition] if r.offset_number < row.next_offset]
            done = [r.offset_number for r in records if key.lane.has(Message(r, None))]
            assert [o for o in own if o in done] == done, "a lane stored what it did not do"
    return True


def test_wherever_it_is_cancelled_nothing_is_half_done_and_any_number_of_lanes_does_the_rest() -> (
    None
):
    input_ = logs(2, 6, 3)

    async def main() -> int:
        number = 0
        while True:
            number += 3  # of several hundred; neighbours are much alike
            store = AsyncMemoryStore()
            if not await cancelled_at(number, Keep(SERVERS, store, batch_size=2), input_):
                return number
            await OnLoop(Keep(SERVERS, store, lanes=number % 4), input_).all()
            assert_each_once(store, input_)

    assert asyncio.run(main()) > 100


def test_a_run_that_is_cancelled_again_and_again_still_gives_up_in_order() -> None:
    store = AsyncMemoryStore()

    async def main() -> list[str]:
        consumer = Blocked(SERVERS, store)
        task = asyncio.create_task(OnLoop(consumer, logs(1, KEYS, KEYS)).all())
        await consumer.reached.wait()
        while not task.done():
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        return consumer.diary

    assert asyncio.run(main()) == ["revoked 1"]
    assert owners(store) == {""}
    assert SLOW not in {message.key for message in kept(store)}


def test_claims_of_lanes_come_to_their_end_before_a_cancelled_reader_gives_up() -> None:
    store = AsyncMemoryStore()
    claim = AsyncMemoryStoreSession.claim
    begun, claims = asyncio.Event(), 0

    async def slowly(self: AsyncMemoryStoreSession, *args: Any) -> Any:
        nonlocal claims
        claims += 1
        if claims > 2:  # the dealer claims twice: what is there, and what is made
            begun.set()
            await asyncio.sleep(0.05)
        return await claim(self, *args)

    async def main() -> None:
        task = asyncio.create_task(OnLoop(Keep(SERVERS, store), logs(1, KEYS, KEYS)).all())
        await begun.wait()
        task.cancel()
        await asyncio.wait([task])

    with patch.object(AsyncMemoryStoreSession, "claim", slowly):
        asyncio.run(main())

    assert len(store.memory.rows) == 1 + LANES
    assert owners(store) == {""}


# --- rebalances ----------------------------------------------------------------------------------


class Rebalancing(FedSource):
    """Rebalances as a test says."""

    def __init__(self, input_: Logs) -> None:
        super().__init__(input_, {}, lambda _: None)
        self.orders: list[str] = []
        self._callbacks: dict[str, Callable[[list[TopicPartition]], None]] = {}

    def subscribe(self, topics: Sequence[str], assigned: Any, revoked: Any, lost: Any) -> None:
        super().subscribe(topics, assigned, revoked, lost)
        self._callbacks = {"assigned": assigned, "revoked": revoked, "lost": lost}

    def poll(self, messages: int, seconds: float) -> list[Any]:
        if self.orders:
            order = self.orders.pop(0)
            if order != "assigned":
                self._positions.clear()
            self._callbacks[order]([ORDERS])
            return []
        return super().poll(messages, seconds)


class Rebalanced(OnLoop):
    """Runs a consumer on a source that rebalances."""

    def __init__(self, consumer: AsyncConsumer, input_: Logs) -> None:
        super().__init__(consumer, input_)
        self.rebalancing = Rebalancing(input_)

    def source(self, _: int) -> FedSource:
        return self.rebalancing


def test_a_partition_that_is_revoked_waits_for_what_its_lanes_have_in_hand() -> None:
    store, input_ = AsyncMemoryStore(), logs(1, 2 * KEYS, KEYS)

    async def main() -> Blocked:
        consumer = Blocked(SERVERS, store)
        run = Rebalanced(consumer, input_)
        task = asyncio.create_task(run.all())
        await consumer.reached.wait()
        run.rebalancing.orders += ["revoked", "assigned"]
        await eventually(lambda: run.rebalancing.orders == ["assigned"])
        await asyncio.sleep(0.05)  # it could go on now, and must not
        assert consumer.diary == []
        consumer.go_on.set()
        await task
        return consumer

    consumer = asyncio.run(main())

    assert consumer.diary[:2] == ["handled", "revoked 1"]
    assert_each_once(store, input_)
    assert consumer.handled[0, 0] == 1


@pytest.mark.parametrize("how", ["lost", "revoked for too long"])
def test_what_a_lane_has_in_hand_of_a_partition_that_is_lost_is_rolled_back_and_done_again(
    how: str,
) -> None:
    store, input_ = AsyncMemoryStore(), logs(1, 2 * KEYS, KEYS)

    async def main() -> Blocked:
        consumer = Blocked(SERVERS, store)
        run = Rebalanced(consumer, input_)
        if how != "lost":
            run.rebalancing.max_poll_seconds = 0.2
        task = asyncio.create_task(run.all())
        await consumer.reached.wait()
        run.rebalancing.orders.append(how.split()[0])
        await eventually(lambda: consumer.diary == ["revoked 1"])
        consumer.go_on.set()
        await eventually(lambda: consumer.diary[1:] == ["handled"])
        run.rebalancing.orders.append("assigned")
        await task
        return consumer

    consumer = asyncio.run(main())

    assert_each_once(store, input_)
    assert consumer.handled[0, 0] == 2


def test_a_cancellation_waits_for_no_handler_while_a_revoke_waits_for_the_lanes() -> None:
    store = AsyncMemoryStore()

    async def main() -> list[str]:
        consumer = Blocked(SERVERS, store)
        run = Rebalanced(consumer, logs(1, KEYS, KEYS))
        task = asyncio.create_task(run.all())
        await consumer.reached.wait()
        run.rebalancing.orders.append("revoked")
        await eventually(lambda: run.rebalancing.orders == [])
        await asyncio.sleep(0.02)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=10)
        assert done, "it waits for a handler that waits for ever"
        assert task.cancelled()
        return consumer.diary

    assert asyncio.run(main()) == ["revoked 1"]
    assert owners(store) == {""}


def test_lanes_that_are_fenced_leave_all_to_the_next_claim_of_their_partition() -> None:
    store, input_ = AsyncMemoryStore(), logs(1, 3 * KEYS, KEYS)

    async def main() -> Any:
        consumer = Blocked(SERVERS, store)
        task = asyncio.create_task(OnLoop(consumer, input_).all())
        await consumer.reached.wait()
        store.memory.open("ledger", "somebody else").claim([ORDERS], {})
        consumer.go_on.set()
        return await task

    assert asyncio.run(main()).fenced > 0
    assert_each_once(store, input_)
    assert owners(store) == {""}
