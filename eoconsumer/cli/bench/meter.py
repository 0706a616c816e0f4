"""Measures one side from inside its process; called once a batch, never once a message."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping

from eoconsumer.cli.bench.costs import cpu_used, peak_memory
from eoconsumer.cli.bench.figures import percentiles
from eoconsumer.cli.bench.task import Result


class Meter:
    """Notes the first message, the last commit, and the CPU time in between; thread-safe."""

    def __init__(self, servers: Mapping[str, Iterable[int]], messages: int) -> None:
        """Measure the processes of ``servers`` as well; the end is where ``messages`` are done."""
        self._processes = {"client": (os.getpid(),), **servers}
        self._expected = messages
        self._stopped = False
        self._enough: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._started = time.perf_counter()
        self._cpu_before: dict[str, float] | None = None
        self._cpu_after: dict[str, float] = {}
        self._began = float("inf")
        self._ended = 0.0
        self._latencies: list[float] = []
        self.messages = 0
        self.commits = 0

    @property
    def done(self) -> bool:
        """Whether all messages are committed, or no more are wanted."""
        return self._stopped or self.messages >= self._expected

    def stop(self) -> None:
        """Want no more: others have done the rest."""
        self._stopped = True
        self._enough()

    def when_done(self, enough: Callable[[], None]) -> None:
        """Call ``enough`` once all is done, from whichever thread finds that out."""
        self._enough = enough
        if self.done:
            enough()

    def started(self) -> None:
        """Note that the consumer starts now; all that it needs is imported."""
        self._started = time.perf_counter()

    def ready(self) -> None:
        """Note that partitions are there, and the work may begin."""
        with self._lock:
            if self._cpu_before is None:
                self._cpu_before = cpu_used(self._processes)
                print("ready", flush=True)  # noqa: T201 - the driver of the latency waits for it

    def committed(self, messages: int, began: float) -> None:
        """Note a batch whose messages were there at ``began`` and are committed now."""
        now = time.perf_counter()
        with self._lock:
            self._began, self._ended = min(self._began, began), now
            self.commits += 1
            self.messages += messages
            if self.done:
                self._cpu_after = cpu_used(self._processes)
                self._enough()

    def produced_at(self, moments: Iterable[int]) -> None:
        """Note that messages are committed now, which were produced then (ns since 1970)."""
        now = time.time_ns()
        latencies = [(now - moment) / 1e6 for moment in moments]
        with self._lock:
            self._latencies += latencies

    def result(self, contestant: str) -> Result:
        """Return what was measured."""
        before = self._cpu_before or {}
        after = self._cpu_after or cpu_used(self._processes)
        # What comes first is a warm-up: connections, caches, the first batches of a new handler.
        latencies = self._latencies[len(self._latencies) // 10 :]
        return Result(
            contestant=contestant,
            messages=self.messages,
            began=self._began,
            seconds=self._ended - self._began,
            commits=self.commits,
            first=self._began - self._started,
            cpu={name: after[name] - before[name] for name in before},
            memory=peak_memory(os.getpid()),
            latency=percentiles(latencies),
        )
