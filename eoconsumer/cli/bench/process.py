"""A side as the driver sees it: a process that is told to begin, works, and reports."""

from __future__ import annotations

import subprocess
import sys
import tempfile

from eoconsumer.cli.bench.task import Result, Task
from eoconsumer.errors import EOConsumerError

COMPLAINT = 2_000  # characters of what a failed side said


class Side:
    """A running side. Its standard error goes to a file: nobody reads it meanwhile."""

    def __init__(self, task: Task) -> None:
        """Start it."""
        self.task = task
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by ``close``
        self._process = subprocess.Popen(
            [sys.executable, "-m", "eoconsumer.cli.bench.side", task.json()],
            stdin=subprocess.PIPE,  # its end tells the side that we are gone
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            # Ctrl-C in a terminal is the driver's alone: it ends the sides, then the servers.
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def wait_until_up(self) -> None:
        """Wait until it has imported all it needs."""
        self._expect("up")

    def go(self) -> None:
        """Let it begin."""
        self._tell("go")

    def wait_until_ready(self) -> None:
        """Wait until its partitions are there."""
        self._expect("ready")

    def stop(self) -> None:
        """Tell it to end before all its messages are done."""
        self._tell("stop")

    def result(self) -> Result:
        """Wait for its end and return what it measured."""
        last = ""
        while line := self._line():
            last = line
        if self._process.wait() or not last.startswith("{"):
            raise self._failure()
        return Result.parse(last)

    def close(self) -> None:
        """Make sure that it is gone."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                stream.close()

    def _expect(self, word: str) -> None:
        if self._line() != word:
            raise self._failure()

    def _tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def _failure(self) -> EOConsumerError:
        code = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read()[-COMPLAINT:]
        return EOConsumerError(f"The side {self.task.contestant} ended with {code}:\n{said}")
