"""What is done to each mode: kills first, all modes at once; then figures, one mode at a time."""

from __future__ import annotations

import asyncio
import signal
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eoconsumer.cli.demo.ledger import Ledger, Process
from eoconsumer.cli.demo.outcome import Outcome
from eoconsumer.cli.demo.plan import (
    AUTO_COMMIT_MS,
    KILLS,
    MODES,
    PARTITIONS,
    SESSION,
    STEADY_RATE,
    Plan,
)
from eoconsumer.cli.demo.view import View
from eoconsumer.errors import EOConsumerError
from eoconsumer.servers import KafkaBroker, MongoReplicaSet


def try_all(plan: Plan, kafka: KafkaBroker, mongo: MongoReplicaSet, view: View) -> list[Outcome]:
    """Do to all modes what ``plan`` says and return what became of them, in the order of ``MODES``.

    Raises ``EOConsumerError`` when a process ends otherwise than planned, and
    ``KeyboardInterrupt`` for SIGINT and SIGTERM; no process is left in any case.
    """
    with _terminated_like_interrupted(), tempfile.TemporaryDirectory() as folder:
        trials = []
        for mode in MODES:
            topic = f"documents-{mode.replace('_', '-')}"
            kafka.create_topic(topic, PARTITIONS)
            ledger = Ledger(mode, kafka.bootstrap_servers, mongo.url_for(mode), topic)
            trials.append(Trial(plan, ledger, Path(folder, mode), view))
        return asyncio.run(_try(trials, view))


async def _try(trials: list[Trial], view: View) -> list[Outcome]:
    view.say("Killing workers of all four modes at the same messages")
    await asyncio.gather(*(trial.kill_workers() for trial in trials))
    view.say("Measuring one mode after the other, without kills")
    for trial in trials:
        await trial.measure()
    view.say("Comparing with what was produced")
    return await asyncio.gather(*(trial.judge() for trial in trials))


class Trial:
    """One mode under trial."""

    def __init__(self, plan: Plan, ledger: Ledger, folder: Path, view: View) -> None:
        """Use ``folder`` for the marks of the kills and the latencies."""
        folder.mkdir()
        self._plan, self._ledger, self._folder, self._view = plan, ledger, folder, view
        self._options = list(SESSION)
        if ledger.mode == "auto_commit":
            self._options += ["--kafka", f"auto.commit.interval.ms={AUTO_COMMIT_MS}"]
        self._kills = 0
        self._seconds_killed = 0.0
        self._rate = 0.0
        self._latencies = list[int]()

    async def kill_workers(self) -> None:
        """Produce, and start a worker again after each kill, until one reaches the end."""
        await self._ledger.generate(self._plan.under_kills, self._plan.seed, skip=0)
        crashes = [word for place in self._plan.crashes for word in ("--crash-at", place)]
        marks = ("--crash-marks", str(self._folder))
        began, killed = time.monotonic(), True
        while killed:
            options = (*self._options, "--until-end", *crashes, *marks)
            async with self._ledger.worker(*options) as worker:
                await self._follow(worker)
                killed = await worker.was_killed()
            self._kills += killed
            if killed:
                place = f"{self._kills} of {len(KILLS)}"
                self._view.note(self._ledger.mode, f"killed with SIGKILL, {place}")
        self._seconds_killed = time.monotonic() - began
        self._view.note(self._ledger.mode, f"recovered from {self._kills} kills")

    async def measure(self) -> None:
        """Let one worker catch up on a backlog, then let documents come at a steady pace."""
        plan, seen = self._plan, self._folder / "latencies"
        await self._ledger.generate(plan.backlog, plan.seed, skip=plan.under_kills)
        async with self._ledger.worker(*self._options, "--latencies", str(seen)) as worker:
            self._rate = await self._follow(worker, until=plan.backlog)
            late = plan.under_kills + plan.backlog
            paced = self._ledger.generate(plan.steady, plan.seed, skip=late, rate=STEADY_RATE)
            done = self._follow(worker, until=plan.backlog + plan.steady)
            await asyncio.gather(paced, done)
            await worker.drain()
        self._latencies = [int(line) for line in seen.read_text().split()][-plan.steady :]
        self._view.note(self._ledger.mode, f"measured: {self._rate:,.0f} messages/s")

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
            raise EOConsumerError(f"A worker in {self._ledger.mode} ended before its work was done")
        return 0.0

    async def judge(self) -> Outcome:
        """Count what is in the ledger against what is in the topic."""
        found = await self._ledger.check()
        cuts = statistics.quantiles(self._latencies, n=100, method="inclusive")
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
def _terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does: everything is stopped, in order."""
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
