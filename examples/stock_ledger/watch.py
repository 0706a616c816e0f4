"""What the demo sees of a worker, and does to it: progress lines, latencies, crashes on order."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple

from .crash import CrashPlan
from .ledger import Entries, Source


class Done(NamedTuple):
    """A message whose work is done: where it was, and when it was produced (ms since 1970)."""

    source: Source
    produced_at: int


class Watch:
    """Watches one worker process; safe to use from several reader threads.

    Args:
        crash: where the process has to die.
        latencies: a file that gets one line for each document: milliseconds from its production
            to the end of its work. It is appended to, so it outlives the worker.
        progress: whether to print `{"applied": n, "followed": m}` lines: documents done by this
            process so far, and of these the ones that the stages have followed. The first comes
            with the first partitions: from then on the process is at work.
    """

    def __init__(
        self,
        crash: CrashPlan | None = None,
        latencies: Path | None = None,
        *,
        progress: bool = False,
    ) -> None:
        """Watch for what is asked for; by default for nothing."""
        self._crash = crash or CrashPlan()
        self._latencies = latencies
        self._progress = progress
        self._applied = self._followed = 0
        self._lock = threading.Lock()

    def assigned(self) -> None:
        """Note that partitions came."""
        with self._lock:
            self._tell()

    def pieces(self, entries: Sequence[Entries]) -> Iterator[list[Entries]]:
        """Yield `entries` as they have to be written; the process may die in between."""
        return self._crash.cut(entries)

    def done(self, messages: Iterable[Done]) -> None:
        """Note that the work of `messages` is done (in exactly-once: committed)."""
        messages, now = list(messages), time.time_ns() // 1_000_000
        self._crash.after_commit(message.source for message in messages)
        with self._lock:
            self._applied += len(messages)
            if self._latencies:
                lines = (f"{max(0, now - message.produced_at)}\n" for message in messages)
                with self._latencies.open("a") as file:
                    file.write("".join(lines))
            self._tell()

    def followed(self, messages: int) -> None:
        """Note that the stages have followed the work of so many messages."""
        with self._lock:
            self._followed += messages
            self._tell()

    def _tell(self) -> None:
        if self._progress:
            now = {"applied": self._applied, "followed": self._followed}
            print(json.dumps(now), flush=True)


def percentiles(latencies: Path) -> tuple[float, float] | None:
    """Return the median and the 99th percentile (ms) of a latency file; None below two lines."""
    if not latencies.exists():
        return None
    values = [int(line) for line in latencies.read_text().split()]
    if len(values) < 2:
        return None
    cuts = quantiles(values, n=100, method="inclusive")
    return cuts[49], cuts[98]
