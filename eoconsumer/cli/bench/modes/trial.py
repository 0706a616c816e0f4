"""One variant on one topic: its worker is killed, or measured; then the documents are counted."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from eoconsumer.cli.bench.costs import cpu_used, peak_memory
from eoconsumer.cli.bench.figures import percentiles
from eoconsumer.cli.bench.stage import Counters, Load
from eoconsumer.cli.bench.task import Result
from eoconsumer.cli.demo.ledger import Ledger
from eoconsumer.cli.demo.plan import AUTO_COMMIT_MS, SESSION
from eoconsumer.cli.examples import Feed, Process, Progress, example


@dataclass(frozen=True, slots=True)
class Counted:
    """What became of ``produced`` documents; of the ``lost``, ``torn`` are there in part."""

    produced: int
    applied: int
    lost: int
    torn: int
    duplicated: int
    kills: int = 0
    seconds: float = 0.0

    @property
    def in_words(self) -> str:
        """What is worth a line while others go on."""
        return f"{self.lost:,} lost, {self.duplicated:,} duplicated, {self.kills} kills"


@dataclass(frozen=True, slots=True)
class Measured:
    """What a worker did that was left alone, and how many transactions the database committed."""

    result: Result
    transactions: int
    counted: Counted


@dataclass(frozen=True, slots=True)
class Trial:
    """One variant, with a database and a group of its own.

    ``servers`` are the process ids whose CPU time is measured; ``counters`` asks the database.
    """

    variant: str
    load: Load
    store: str
    servers: Mapping[str, tuple[int, ...]]
    counters: Callable[[], Counters]

    async def under_kills(self, crashes: list[str]) -> Counted:
        """Start a worker, and again after each kill, until one reaches the end."""
        places = [word for place in crashes for word in ("--crash-at", place)]
        options = (*SESSION, *places)
        if self.variant == "auto-commit":
            options = (*options, "--kafka", f"auto.commit.interval.ms={AUTO_COMMIT_MS}")
        began, kills = time.monotonic(), 0
        with tempfile.TemporaryDirectory() as marks:
            while True:
                marked = ("--until-end", "--crash-marks", marks)
                async with self._worker(*options, *marked) as worker:
                    if not await worker.was_killed():
                        break
                kills += 1
        return await self._count(kills, time.monotonic() - began)

    async def left_alone(self, feed: Feed | None = None, rate: float | None = None) -> Measured:
        """Let a worker catch up with what is there, or keep up with ``feed``: with latencies."""
        # Before the worker is there: a small load may be done when its first line comes.
        began, before = time.monotonic(), self.counters()
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "latencies")
            timing = () if feed is None else ("--latencies", str(file))
            async with self._worker("--progress", *timing) as worker:
                progress = worker.progress()
                first = await anext(progress)
                processes = {"client": (worker.pid,), **self.servers}
                used = cpu_used(processes)
                async with asyncio.TaskGroup() as both:
                    # What the worker says is read meanwhile: else it would wait for its reader.
                    following = both.create_task(self._to_the_end(worker, progress))
                    if feed is not None:
                        both.create_task(feed.produce(self.load.messages, skip=0, rate=rate))
                cpu, after = cpu_used(processes), self.counters()
                memory = peak_memory(worker.pid)
                await worker.drain()
            latencies = [float(ms) for ms in file.read_text().split()] if timing else []
        result = Result(
            contestant=self.variant,
            messages=self.load.messages,
            seconds=following.result().at - first.at,
            commits=after.moves - before.moves,
            first=first.at - began,
            cpu={name: cpu[name] - used[name] for name in cpu},
            memory=memory,
            latency=percentiles(latencies[len(latencies) // 10 :]),  # the first ones are a warm-up
        )
        return Measured(result, after.transactions - before.transactions, await self._count())

    async def _to_the_end(self, worker: Process, progress: AsyncIterator[Progress]) -> Progress:
        async for now in progress:
            if now.applied >= self.load.messages:
                return now
        raise await worker.too_early(self.variant)

    async def _count(self, kills: int = 0, seconds: float = 0.0) -> Counted:
        """Compare the ledger with the topic."""
        load = self.load
        found = await Ledger(self.variant, load.bootstrap, load.topic, self.store).check()
        produced, applied = found["produced"], found["applied"]
        return Counted(
            *(produced, applied, produced - applied, found["torn"], found["duplicated"]),
            kills=kills,
            seconds=seconds,
        )

    def _worker(self, *options: str) -> AbstractAsyncContextManager[Process]:
        where = ("-b", self.load.bootstrap, "--store", self.store, "--topic", self.load.topic)
        group = ("--group", self.store.rpartition("/")[2].partition("?")[0])
        return example("mode_comparison", "run", self.variant, *where, *group, *options)
