"""An AsyncConsumer on messages without Kafka, and a way to cancel it at any of its awaits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any

from eoconsumer import AsyncConsumer, Message, Record, Snapshot, TopicPartition
from eoconsumer.runner.watch import Watch
from eoconsumer.runner_async import AsyncRunner
from eoconsumer.runner_async.waiting import LoopFlag
from eoconsumer.testing.fed_source import FedSource

SERVERS = "localhost:1"
Logs = dict[TopicPartition, list[Record]]


def logs(partitions: int, messages: int, keys: int = 0) -> Logs:
    """Return a log for each partition of the topic "orders"; with so many keys, in turn."""
    return {
        TopicPartition("orders", number): [
            Record(
                "orders",
                number,
                offset,
                f"{number}:{offset}".encode(),
                f"key-{offset % keys}".encode() if keys else None,
            )
            for offset in range(messages)
        ]
        for number in range(partitions)
    }


def place(message: Message) -> tuple[int, int]:
    """Return where a message stands."""
    return message.partition, message.offset


class OnLoop:
    """Runs a consumer on ``logs``."""

    def __init__(self, consumer: AsyncConsumer, logs: Logs) -> None:
        self.consumer = consumer
        self._logs = logs
        self.sources: list[FedSource] = []

    def source(self, _: int) -> FedSource:
        self.sources.append(FedSource(self._logs, {}, lambda _: None))
        return self.sources[-1]

    async def run(self, is_enough: Callable[[Snapshot], bool]) -> Snapshot:
        changed = LoopFlag()
        config = self.consumer.config
        watch = Watch(self.consumer.events, changed, lanes=config.lanes > 0)
        runner = AsyncRunner(
            config,
            self.consumer.store,
            self.source,
            self.consumer._user(),
            watch,
            changed,
        )
        async with asyncio.timeout(20):
            await runner.run(is_enough)
        return watch.snapshot()

    async def all(self) -> Snapshot:
        """Run until each partition is at its end."""
        ends = {key: log[-1].offset_number + 1 for key, log in self._logs.items()}
        return await self.run(lambda seen: dict(seen.positions) == ends)


class Cancelling:
    """Runs a coroutine in a task that is cancelled when it waits for the ``number``-th time."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.waits = 0

    def now(self) -> None:
        """Cancel."""
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    def task(self, steps: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return asyncio.create_task(self._counted(steps))

    async def _counted(self, steps: Coroutine[Any, Any, Any]) -> Any:
        return await self._steps(steps)

    @coroutine
    def _steps(self, steps: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        go: Callable[[], Any] = lambda: steps.send(None)  # noqa: E731 - replaced below
        while True:
            try:
                waiting = go()
            except StopIteration as end:
                return end.value
            self.waits += 1
            if self.waits == self.number:
                self.now()
            try:
                sent = yield waiting
                go = lambda sent=sent: steps.send(sent)  # noqa: E731
            except BaseException as error:
                go = lambda error=error: steps.throw(error)  # noqa: E731
