"""What is done to the modes: kills first, then figures, then the count."""

from __future__ import annotations

import asyncio
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from eoconsumer.cli.demo.ledger import Ledger
from eoconsumer.cli.demo.outcome import Outcome
from eoconsumer.cli.demo.plan import (
    AUTO_COMMIT_MS,
    KILLS,
    MODES,
    PARTITIONS,
    SESSION,
    STEADY_RATE,
    TOPIC,
    Plan,
)
from eoconsumer.cli.demo.view import View
from eoconsumer.cli.examples import Feed, Process
from eoconsumer.servers import KafkaBroker

T = TypeVar("T")


def try_all(
    plan: Plan, kafka: KafkaBroker, url_for: Callable[[str], str], view: View
) -> list[Outcome]:
    """Do to all modes what ``plan`` says and return what became of them, in the order of ``MODES``.

    ``url_for`` gives the URL of a database by the mode.

    Raises ``EOConsumerError`` when a process ends otherwise than planned; no process is left in any
    case.
    """
    with tempfile.TemporaryDirectory() as folder:
        kafka.create_topic(TOPIC, PARTITIONS)
        servers = kafka.bootstrap_servers
        trials = [
            Trial(plan, Ledger(mode, servers, TOPIC, url_for(mode)), Path(folder, mode), view)
            for mode in MODES
        ]
        return asyncio.run(_try(trials, Feed(servers, TOPIC, plan.seed), plan, view))


async def _try(trials: list[Trial], feed: Feed, plan: Plan, view: View) -> list[Outcome]:
    view.say(f"Producing {plan.under_kills:,} documents, and killing workers of all four modes")
    await feed.produce(plan.under_kills, skip=0)
    await _together(*(trial.kill_workers() for trial in trials))
    view.say(f"Producing {plan.backlog:,} documents; one mode after the other catches up")
    await feed.produce(plan.backlog, skip=plan.under_kills)
    async with AsyncExitStack() as workers:
        for trial in trials:
            await trial.catch_up(workers)
        view.say(f"Producing {plan.steady:,} documents at {STEADY_RATE:g} a second")
        late = plan.under_kills + plan.backlog
        await _together(
            feed.produce(plan.steady, skip=late, rate=STEADY_RATE),
            *(trial.keep_up() for trial in trials),
        )
    view.say("Comparing with what was produced")
    return await _together(*(trial.judge() for trial in trials))


async def _together(*work: Coroutine[Any, Any, T]) -> list[T]:
    """Do all at once and return what came of each; when one fails or is interrupted, end all."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


class Trial:
    """One mode under trial."""

    def __init__(self, plan: Plan, ledger: Ledger, folder: Path, view: View) -> None:
        """Use ``folder`` for the marks of the kills and the latencies."""
        folder.mkdir()
        self._plan, self._ledger, self._folder, self._view = plan, ledger, folder, view
        self._options: tuple[str, ...] = ()
        if ledger.mode == "auto_commit":
            self._options = ("--kafka", f"auto.commit.interval.ms={AUTO_COMMIT_MS}")
        self._kills = 0
        self._seconds_killed = 0.0
        self._rate = 0.0
        self._latencies = folder / "latencies"

    async def kill_workers(self) -> None:
        """Start a worker, and again after each kill, until one reaches the end."""
        crashes = [word for place in self._plan.crashes for word in ("--crash-at", place)]
        marks = ("--crash-marks", str(self._folder))
        began, killed = time.monotonic(), True
        while killed:
            options = (*self._options, *SESSION, "--until-end", *crashes, *marks)
            async with self._ledger.worker(*options) as worker:
                await self._follow(worker)
                killed = await worker.was_killed()
            self._kills += killed
            if killed:
                place = f"{self._kills} of {len(KILLS)}"
                self._view.note(self._ledger.mode, f"killed with SIGKILL, {place}")
        self._seconds_killed = time.monotonic() - began
        self._view.note(self._ledger.mode, f"recovered from {self._kills} kills")

    async def catch_up(self, workers: AsyncExitStack) -> None:
        """Start a worker on a backlog, and leave it running, among ``workers``."""
        options = (*self._options, "--latencies", str(self._latencies))
        self._worker = await workers.enter_async_context(self._ledger.worker(*options))
        self._rate = await self._follow(self._worker, until=self._plan.backlog)
        self._view.note(self._ledger.mode, f"caught up, {self._rate:,.0f} messages/s")
        # Or the documents that are to come would wait for the stages of these.
        async for now in self._worker.progress():
            if now.followed == self._plan.backlog:
                return

    async def keep_up(self) -> None:
        """See that worker through the documents that come at a steady pace, and let it end."""
        await self._follow(self._worker, until=self._plan.backlog + self._plan.steady)
        await self._worker.drain()
        self._view.note(self._ledger.mode, "done")

    async def _follow(self, worker: Process, until: int | None = None) -> float:
        """Show what ``worker`` does until it ends, or has done ``until`` documents in all.

        Return its messages a second, from its first partitions (or where it was followed to
        before) on. Raises ``EOConsumerError`` when it ends too early.
        """
        first = last = None
        async for now in worker.progress():
            self._view.advance(self._ledger.mode, now.applied - (last or now).applied)
            first, last = first or now, now
            if now.applied == until:
                return (now.applied - first.applied) / (now.at - first.at or 1)
        if until is not None:
            raise await worker.too_early(self._ledger.mode)
        return 0.0

    async def judge(self) -> Outcome:
        """Count what is in the ledger against what is in the topic."""
        found = await self._ledger.check()
        latencies = [int(line) for line in self._latencies.read_text().split()]
        steady = latencies[-self._plan.steady :]  # before them came the backlog
        cuts = statistics.quantiles(steady, n=100, method="inclusive")
        return Outcome(
            mode=self._ledger.mode,
            produced=found["produced"],
            applied=found["applied"],
            lost=found["produced"] - found["applied"],
            torn=found["torn"],
            duplicated=found["duplicated"],
            out_of_order=found["out_of_order"],
            stock_correct=found["stock_correct"],
            cost_correct=found["cost_correct"],
            kills=self._kills,
            seconds_with_kills=round(self._seconds_killed, 2),
            messages_per_second=round(self._rate),
            p50_ms=cuts[49],
            p99_ms=cuts[98],
        )


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does: everything is stopped, in order.

    A shell starts its background jobs with SIGINT ignored; asyncio minds only Python's own handler.
    """
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGTERM: signal.signal(
            signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT)
        ),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
