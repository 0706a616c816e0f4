"""A reader with a source of its own, which is a client of Kafka, and a thread for it.

librdkafka's calls block, so they are made on the reader's thread, one after the other, and the task
awaits them. What comes by a poll (claims, what is given up) needs the store, which lives on the
loop: then the thread waits for the loop. The loop never waits for the thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from concurrent.futures import Executor
from functools import partial
from typing import Any

from eoconsumer.core import effects as fx
from eoconsumer.core.flow import Flow
from eoconsumer.message import TopicPartition
from eoconsumer.protocols import AsyncStoreSession, Source
from eoconsumer.runner.driving import drive
from eoconsumer.runner.fetching import Fetching
from eoconsumer.runner.user import User
from eoconsumer.runner.watch import Watch
from eoconsumer.runner_async.reader import AsyncReader, Fetched
from eoconsumer.runner_async.waiting import LoopFlag, to_its_end


class AsyncSourceReader(AsyncReader):
    """Carries out all effects of one ``Flow`` on real servers."""

    def __init__(
        self,
        flow: Flow,
        source: Source,
        store: AsyncStoreSession[Any],
        user: User,
        watch: Watch,
        stopping: LoopFlag,
        transaction_seconds: float | None,
        thread: Executor,
    ) -> None:
        """Take what a reader owns: it closes ``source`` and ``store`` at its end.

        ``thread`` has one thread, on which ``source`` is used.
        """
        super().__init__(flow, store, user, watch, stopping, transaction_seconds)
        self._loop = asyncio.get_running_loop()
        self._thread = thread
        self._fetching = Fetching(flow, source, stopping.is_set, self._drive_on_a_thread)
        self._awaited |= {
            effect: partial(self._on_the_thread, call)
            for effect, call in self._fetching.carry_out.items()
        }

    async def _join(self) -> None:
        await self._on_the_thread(self._fetching.start, self._user.routes.topics)

    async def _leave(self) -> None:
        await self._on_the_thread(self._fetching.stop)

    async def _fetch(self, effect: fx.Poll) -> Fetched | None:
        fetched: Fetched | None = await self._on_the_thread(self._fetching.poll, effect)
        return fetched

    @property
    def _lost_in_flight(self) -> Collection[TopicPartition]:
        return self._fetching.lost_in_flight

    async def _on_the_thread(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Await a call of Kafka's client. It cannot be interrupted: a cancellation waits for it."""
        return await to_its_end(self._loop.run_in_executor(self._thread, call, *arguments))

    def _drive_on_a_thread(self, effects: fx.Effects[None]) -> None:
        """Drive what came by a poll, on the thread that polls: for the store it waits for the loop.

        That waits for nobody here: the reader awaits its poll, or it is between two batches.
        """

        def carry_out(effect: fx.Effect) -> Any:
            kind = type(effect)
            if kind in self._fetching.carry_out:
                return self._fetching.carry_out[kind](effect)
            coroutine = self._carry_out(effect)
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

        drive(effects, carry_out)
