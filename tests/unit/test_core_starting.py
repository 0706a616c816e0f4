"""The start of a consumer whose database is only just starting, too."""

from __future__ import annotations

import asyncio

import pytest
from bench import Bench

from eoconsumer import AsyncConsumer, Consumer
from eoconsumer.core import effects as fx
from eoconsumer.core.starting import set_up
from eoconsumer.errors import ConfigurationError, StoreError, TransientStoreError
from eoconsumer.runner import Runner
from eoconsumer.runner.flag import Flag
from eoconsumer.runner.watch import Watch
from eoconsumer.runner_async import AsyncRunner
from eoconsumer.runner_async.waiting import LoopFlag
from eoconsumer.stores.memory import MemoryStore
from eoconsumer.stores.memory_async import AsyncMemoryStore
from eoconsumer.telemetry import Events

NOT_YET = TransientStoreError("The database is starting up.")
SERVERS = "localhost:1"


class Seen(Events):
    """Counts how often the store was not ready, and may have enough of it."""

    def __init__(self) -> None:
        self.times = 0

    def not_ready(self, error: BaseException, tries: int) -> None:
        assert error is NOT_YET
        self.times = tries


class Late:
    """Not ready at the first tries."""

    left = 2

    def look(self) -> None:
        if self.left:
            self.left -= 1
            raise NOT_YET


class LateStore(Late, MemoryStore):
    def setup(self) -> None:
        self.look()


class LateAsyncStore(Late, AsyncMemoryStore):
    async def setup(self) -> None:
        self.look()


def runner(store: MemoryStore, watch: Watch) -> Runner:
    consumer = Consumer(SERVERS, store, group="ledger")
    return Runner(consumer.config, store, consumer._source, consumer._user(), watch, Flag())


def async_runner(store: AsyncMemoryStore, watch: Watch) -> AsyncRunner:
    consumer = AsyncConsumer(SERVERS, store, group="ledger")
    return AsyncRunner(
        consumer.config, store, consumer._source, consumer._user(), watch, LoopFlag()
    )


def test_a_store_that_is_not_ready_is_tried_again_until_it_is() -> None:
    bench = Bench()
    bench.fail(fx.SetUp, *[NOT_YET] * 5)

    bench.run(set_up(bench.flow.settings))

    assert len(bench.all(fx.SetUp)) == 6
    assert [report["tries"] for report in bench.reports("not_ready")] == [1, 2, 3, 4, 5]


def test_a_store_that_is_not_ready_in_time_ends_the_start_with_its_last_answer() -> None:
    bench = Bench(store_timeout=10.0)
    bench.fail(fx.SetUp, *[NOT_YET] * 100)

    with pytest.raises(StoreError, match="starting up") as raised:
        bench.run(set_up(bench.flow.settings))

    assert not isinstance(raised.value, TransientStoreError)
    assert 10 <= bench.clock < 13


def test_a_wrong_configuration_ends_the_start_at_once() -> None:
    bench = Bench()
    bench.fail(fx.SetUp, ConfigurationError())

    with pytest.raises(ConfigurationError):
        bench.run(set_up(bench.flow.settings))

    assert bench.clock == 0


def test_a_consumer_waits_for_its_store() -> None:
    store, seen = LateStore(), Seen()

    runner(store, Watch(seen)).set_up()

    assert (store.left, seen.times) == (0, 2)


def test_with_asyncio_a_consumer_waits_for_its_store() -> None:
    store, seen = LateAsyncStore(), Seen()

    async def start() -> None:
        await async_runner(store, Watch(seen)).set_up()

    asyncio.run(start())

    assert (store.left, seen.times) == (0, 2)


def test_a_consumer_that_is_stopped_does_not_wait_for_its_store_any_longer() -> None:
    store = LateStore()
    store.left = 1_000
    stopped = runner(store, Watch(Seen()))
    stopped.stop()

    stopped.set_up()

    assert store.left == 999


def test_with_asyncio_a_consumer_that_is_stopped_does_not_wait_any_longer() -> None:
    store = LateAsyncStore()
    store.left = 1_000

    async def start() -> None:
        stopped = async_runner(store, Watch(Seen()))
        stopped.stop()
        await stopped.set_up()

    asyncio.run(start())

    assert store.left in (998, 999)  # the loop tells a flag a moment later
