"""Worker processes of the tests: started, listened to, stopped in their tracks, and ended."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trial import DEADLINE, Document, Place

from tests.nursery import Child

PROGRAMS = Path(__file__).with_name("workers")


class Worker:
    """One process that runs ``workers/ledger.py``; see there for what it can be told.

    Told ``asyncio`` ("pymongo", "motor" or "sqlalchemy": the driver), it runs ``async_ledger.py``.
    """

    def __init__(self, log: Path, **told: Any) -> None:
        """Start it; ``log`` takes its stderr."""
        self.log = log
        self._lines: list[Document] = []
        self._news = threading.Condition()
        program = PROGRAMS / ("async_ledger.py" if told.get("asyncio") else "ledger.py")
        self._process = Child(program, json.dumps(told), log)
        self.pid = self._process.pid
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def heard(self, said: str, since: float = 0.0) -> list[Document]:
        """Return what it said of one kind, after ``since`` (monotonic seconds)."""
        with self._news:
            return [line for line in self._lines if line["said"] == said and line["at"] > since]

    @property
    def lines(self) -> list[Document]:
        """All that it said, in order."""
        with self._news:
            return list(self._lines)

    @property
    def handled(self) -> list[Place]:
        """The messages that its handler was called with, in order."""
        return [(line["partition"], line["offset"]) for line in self.heard("handled")]

    def wait_for(
        self, said: str, count: int = 1, *, since: float = 0.0, seconds: float = DEADLINE
    ) -> Document:
        """Wait until it has said so ``count`` times after ``since``; return the last of these."""
        lines = self._wait(lambda: self.heard(said, since), count, seconds, said)
        return lines[count - 1]

    def wait_until_stopped(self, point: str) -> Document:
        """Wait until it has stopped itself at ``point``."""
        line = self.wait_for(point)
        self._process.wait_until_stopped()
        assert self.alive, f"it ended where it was to stop{self.told}"
        return line

    def wait_until_killed(self) -> None:
        """Wait until it has killed itself, and was not ended by anything else."""
        code = self._process.wait(DEADLINE)
        self._listener.join()
        assert code == -signal.SIGKILL, f"it ended with {code}, and was to kill itself{self.told}"

    def resume(self) -> float:
        """Let it go on; return when, in monotonic seconds.

        Before it does: it may have said what it had to before this process is scheduled again.
        """
        woken = time.monotonic()
        self._process.send_signal(signal.SIGCONT)
        return woken

    @property
    def alive(self) -> bool:
        """Whether the process exists."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it with SIGKILL; harmless if it is gone."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._listener.join()

    def stop(self) -> None:
        """Ask it to drain and leave, and see that it ends well."""
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(DEADLINE)
        self._listener.join()
        assert code == 0, f"it ended with {code} when it was asked to stop{self.told}"

    @property
    def told(self) -> str:
        """What it wrote to stderr, for the message of a failed test."""
        return f"\n--- stderr of worker {self.pid}:\n{self.log.read_text(errors='replace')[-8000:]}"

    def _wait(
        self, look: Callable[[], list[Document]], count: int, seconds: float, what: str
    ) -> list[Document]:
        until = time.monotonic() + seconds
        with self._news:
            while len(seen := look()) < count:
                left = until - time.monotonic()
                assert left > 0, f"{len(seen)} of {count} {what!r} in {seconds:.0f} s{self.told}"
                assert self._listener.is_alive(), f"it ended before it said {what!r}{self.told}"
                self._news.wait(min(left, 0.5))
        return seen

    def _listen(self) -> None:
        with self._process.stdout as stdout:
            for line in stdout:
                with self._news:
                    self._lines.append(json.loads(line))
                    self._news.notify_all()
