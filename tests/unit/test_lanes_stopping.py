"""What fails in a lane after stop was asked for: its message is in hand, and the user is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from on_loop import SERVERS, logs

from eoconsumer import AsyncConsumer, Consumer, HandlerFailed, Message, RetryPolicy
from eoconsumer.core.board import Board
from eoconsumer.runner import Runner
from eoconsumer.runner.flag import Flag
from eoconsumer.runner.watch import Watch
from eoconsumer.runner_async import AsyncRunner
from eoconsumer.runner_async.waiting import LoopFlag
from eoconsumer.stores.memory import MemorySession, MemoryStore
from eoconsumer.stores.memory_async import AsyncMemoryStore
from eoconsumer.testing.fed_source import FedSource

pytestmark = [
    pytest.mark.requirement("N2"),
    pytest.mark.parametrize("lanes", [0, 2]),
    pytest.mark.parametrize("mode", ["exactly_once", "at_most_once"]),
]
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
