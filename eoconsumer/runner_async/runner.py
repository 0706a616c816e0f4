"""All readers of a consumer: their tasks, their restarts, and how they end."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any

from eoconsumer.config import Config
from eoconsumer.core import effects as fx
from eoconsumer.core.board import Board
from eoconsumer.core.dealer import Dealer, LaneFlow
from eoconsumer.core.flow import Flow
from eoconsumer.core.lanes import Lane
from eoconsumer.core.starting import set_up
from eoconsumer.errors import BrokerError, StoreError
from eoconsumer.protocols import AsyncLaneStore, AsyncStore, Source
from eoconsumer.runner.runner import owner_name
from eoconsumer.runner.user import User
from eoconsumer.runner.watch import Watch
from eoconsumer.runner_async.driving import drive
from eoconsumer.runner_async.lanes import AsyncDealerReader, AsyncLaneReader, AsyncLanes
from eoconsumer.runner_async.source import AsyncSourceReader
from eoconsumer.runner_async.waiting import LoopFlag, all_done, to_its_end
from eoconsumer.telemetry import Snapshot

log = logging.getLogger("eoconsumer.consumer")


class AsyncRunner:
    """Runs ``config.reader_count`` readers until one fails for good or stop is asked for."""

    def __init__(
        self,
        config: Config,
        store: AsyncStore[Any],
        make_source: Callable[[int], Source],
        user: User,
        watch: Watch,
        changed: LoopFlag,
    ) -> None:
        """Start nothing yet; ``changed`` wakes who waits for the end, or for news of ``watch``."""
        self._config = config
        self._store = store
        self._make_source = make_source
        self._user = user
        self._watch = watch
        self._changed = changed
        self._stopping = LoopFlag()
        self._failure: BaseException | None = None

    def stop(self) -> None:
        """Ask the readers to finish what they have in hand and leave; from any thread."""
        self._stopping.set()
        self._changed.set()

    async def set_up(self) -> None:
        """Make the store ready, with patience; raises ``StoreError`` and ``ConfigurationError``."""
        how: dict[type, Callable[[Any], Awaitable[Any]]] = {
            fx.SetUp: lambda _: self._store.setup(),
            fx.Sleep: lambda effect: self._stopping.wait(effect.seconds),
        }
        at_once: dict[type, Callable[[Any], Any]] = {
            fx.Now: lambda _: time.monotonic(),
            fx.Chance: lambda _: random.random(),
            fx.Report: lambda effect: self._watch.report(effect.name, effect.details),
        }

        async def carry_out(effect: fx.Effect) -> Any:
            kind = type(effect)
            return at_once[kind](effect) if kind in at_once else await how[kind](effect)

        await drive(set_up(self._config.of_reader(0)), carry_out)

    async def run(self, is_enough: Callable[[Snapshot], bool]) -> None:
        """Run the readers until ``is_enough``, or until stop is asked for; raise what ended them.

        Where this is cancelled, so is each reader, once, and awaited: it gives up in order.
        """
        readers = [
            asyncio.create_task(
                self._read(number), name=f"eoconsumer-{self._config.group}-{number}"
            )
            for number in range(self._config.reader_count)
        ]
        try:
            while not self._stopping.is_set() and not is_enough(self._watch.snapshot()):
                await self._changed.wait(1.0)
                self._changed.clear()
        except asyncio.CancelledError:
            for reader in readers:
                reader.cancel()
            await all_done(readers)
            raise
        finally:
            self.stop()
            log.info("finishing what is in hand")
            cancelled = await all_done(readers, cancel=True)
        if cancelled is not None:
            raise cancelled
        if self._failure is not None:
            raise self._failure

    async def _read(self, number: int) -> None:
        """Run one reader, and a new one where it lost its broker or its database."""
        attempt = 0
        while not self._stopping.is_set():
            reader: AsyncSourceReader | None = None
            thread = ThreadPoolExecutor(1, f"eoconsumer-{self._config.group}-{number}")
            try:
                reader = await self._reader(number, thread)
                await reader.run()
            except (BrokerError, StoreError) as error:
                attempt = 1 if reader is not None and reader.moved else attempt + 1
                if attempt > self._config.restart.attempts:
                    self._fail(error)
                    return
                delay = self._config.restart.delay(attempt, random.random())
                details = {"error": error, "attempt": attempt, "delay": delay}
                self._watch.report("restarted", details)
                await self._stopping.wait(delay)
            except BaseException as error:
                self._fail(error)
                return
            finally:
                thread.shutdown(wait=False)

    async def _reader(self, number: int, thread: ThreadPoolExecutor) -> AsyncSourceReader:
        loop = asyncio.get_running_loop()
        making = loop.run_in_executor(thread, self._make_source, number)
        try:
            source = await to_its_end(making)
            owner = owner_name(number)
            if self._config.lanes:
                return await self._dealer(number, owner, source, thread)
            session = await self._store.open(self._config.group, owner)
        except BaseException:
            if making.done() and making.exception() is None:
                await to_its_end(loop.run_in_executor(thread, making.result().close))
            raise
        settings, lifetime = self._config.of_reader(number), self._store.transaction_seconds
        return AsyncSourceReader(
            Flow(settings.within(lifetime, source.max_poll_seconds)),
            source,
            session,
            self._user,
            self._watch,
            self._stopping,
            lifetime,
            thread,
        )

    async def _dealer(
        self, number: int, owner: str, source: Source, thread: ThreadPoolExecutor
    ) -> AsyncDealerReader:
        """Make a reader that deals its messages to lanes."""
        assert isinstance(self._store, AsyncLaneStore), "looked at when the consumer was made"
        config, store, count = self._config, self._store, self._config.lanes
        board = Board(count, config.batch_size, config.batch_bytes)
        lanes = AsyncLanes(board, f"eoconsumer-{config.group}-{number}")
        async with AsyncExitStack() as opened:
            sessions = []
            for lane in (Lane(one, count) for one in range(count + 1)):
                session = await store.open_lane(config.group, lane.owner(owner), lane)
                opened.push_async_callback(session.close)
                sessions.append(session)
            opened.pop_all()  # all are there, and their readers close them
        dealers, *of_lanes = sessions
        for one, session in enumerate(of_lanes, 1):
            flow, lifetime = LaneFlow(config.of_lane(number)), store.transaction_seconds
            lanes.add(
                one,
                AsyncLaneReader(flow, session, self._user, self._watch, lifetime, lanes, one),
            )
        return AsyncDealerReader(
            Dealer(config.of_reader(number)),
            source,
            dealers,
            self._user,
            self._watch,
            self._stopping,
            thread,
            lanes,
        )

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self.stop()
