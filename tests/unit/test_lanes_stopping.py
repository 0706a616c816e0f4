"""What fails in a lane while its reader ends: the message was in hand, and the user is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from on_loop import SERVERS, logs

from eoconsumer import (
    AsyncConsumer,
    Consumer,
    HandlerFailed,
    Message,
    Record,
    RetryPolicy,
)
from eoconsumer.core.board import Board
from eoconsumer.errors import BrokerError
from eoconsumer.runner import Runner
from eoconsumer.runner.flag import Flag
from eoconsumer.runner.watch import Watch
from eoconsumer.runner_async import AsyncRunner
from eoconsumer.runner_async.waiting import LoopFlag
from eoconsumer.stores.memory import MemorySession, MemoryStore
from eoconsumer.stores.memory_async import AsyncMemoryStore
from eoconsumer.testing.fed_source import FedSource

pytestmark = pytest.mark.requirement("N2")
any_lanes = pytest.mark.parametrize("lanes", [0, 2])
any_mode = pytest.mark.parametrize("mode", ["exactly_once", "at_most_once"])
SETTINGS = {"group": "ledger", "readers": 1, "retry": RetryPolicy(attempts=1)}
SECONDS = 20


class OneMessage(FedSource):
    max_poll_seconds = SECONDS


def source(_: int) -> OneMessage:
    return OneMessage(logs(1, 1), {}, lambda _: None)


@contextmanager
def set_at_recall(stopped: asyncio.Event | threading.Event) -> Iterator[None]:
    """Let ``stopped`` be set when the reader waits for its lanes, and looks at them no more."""
    recall = Board.recall

    def recalled(*given: Any, **how: Any) -> None:
        recall(*given, **how)
        stopped.set()

    with patch.object(Board, "recall", recalled):
        yield


@any_lanes
@any_mode
def test_a_handler_that_fails_while_its_consumer_stops_is_told_of(lanes: int, mode: str) -> None:
    consumer = Consumer(SERVERS, MemoryStore(), lanes=lanes, mode=mode, **SETTINGS)
    reached, stopped = threading.Event(), threading.Event()

    @consumer.on("orders")
    def handle(_: Message, __: MemorySession) -> None:
        reached.set()
        assert stopped.wait(SECONDS)
        raise ValueError("this message is bad")

    watch = Watch(consumer.events, changed := Flag(), lanes=lanes > 0)
    user = consumer._user()
    runner = Runner(consumer.config, consumer.store, source, user, watch, changed)
    with set_at_recall(stopped):
        runner.start()
        assert reached.wait(SECONDS)
        runner.stop()
        if not lanes:
            stopped.set()
        with pytest.raises(HandlerFailed, match="this message is bad"):
            runner.join()


@any_lanes
@any_mode
def test_the_same_on_an_event_loop(lanes: int, mode: str) -> None:
    consumer = AsyncConsumer(SERVERS, AsyncMemoryStore(), lanes=lanes, mode=mode, **SETTINGS)

    async def main() -> None:
        reached, stopped = asyncio.Event(), asyncio.Event()

        @consumer.on("orders")
        async def handle(_: Message, __: MemorySession) -> None:
            reached.set()
            await stopped.wait()
            raise ValueError("this message is bad")

        watch = Watch(consumer.events, changed := LoopFlag(), lanes=lanes > 0)
        user = consumer._user()
        runner = AsyncRunner(consumer.config, consumer.store, source, user, watch, changed)
        with set_at_recall(stopped):
            async with asyncio.timeout(SECONDS):
                run = asyncio.create_task(runner.run(lambda _: False))
                await reached.wait()
                runner.stop()
                if not lanes:
                    stopped.set()
                await run

    with pytest.raises(HandlerFailed, match="this message is bad"):
        asyncio.run(main())


def losing(reached: threading.Event) -> Callable[[int], FedSource]:
    """Return what makes a source that loses its broker while the message is handled."""

    class Losing(OneMessage):
        def poll(self, messages: int, seconds: float) -> Sequence[Record]:
            if reached.is_set():
                raise BrokerError("the broker is gone")
            return super().poll(messages, seconds)

    made: list[FedSource] = []

    def make(_: int) -> FedSource:
        assert not made, "begun anew, as if the handler had not failed"
        made.append(Losing(logs(1, 1), {}, lambda _: None))
        return made[0]

    return make


def test_a_handler_that_fails_while_its_reader_loses_the_broker_is_told_of() -> None:
    consumer = Consumer(SERVERS, MemoryStore(), lanes=2, mode="at_most_once", **SETTINGS)
    reached, lost = threading.Event(), threading.Event()

    @consumer.on("orders")
    def handle(_: Message, __: MemorySession) -> None:
        reached.set()
        assert lost.wait(SECONDS)
        raise ValueError("this message is bad")

    watch = Watch(consumer.events, changed := Flag(), lanes=True)
    make, user = losing(reached), consumer._user()
    runner = Runner(consumer.config, consumer.store, make, user, watch, changed)
    with set_at_recall(lost):
        runner.start()
        with pytest.raises(HandlerFailed, match="this message is bad"):
            runner.join()


def test_the_loss_of_a_broker_hides_no_failure_on_an_event_loop_either() -> None:
    consumer = AsyncConsumer(SERVERS, AsyncMemoryStore(), lanes=2, mode="at_most_once", **SETTINGS)

    async def main() -> None:
        reached, lost = threading.Event(), asyncio.Event()

        @consumer.on("orders")
        async def handle(_: Message, __: MemorySession) -> None:
            reached.set()
            await lost.wait()
            raise ValueError("this message is bad")

        watch = Watch(consumer.events, changed := LoopFlag(), lanes=True)
        make, user = losing(reached), consumer._user()
        runner = AsyncRunner(consumer.config, consumer.store, make, user, watch, changed)
        with set_at_recall(lost):
            async with asyncio.timeout(SECONDS):
                await runner.run(lambda _: False)

    with pytest.raises(HandlerFailed, match="this message is bad"):
        asyncio.run(main())
