"""The examples, run as the processes that a user would run: SIGKILL is the point of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import eoconsumer
from eoconsumer.errors import ConfigurationError, EOConsumerError

STOP_SECONDS = 10.0


class Progress(NamedTuple):
    """How many documents a worker has done, and of these its stages have followed.

    ``at``: when it said so, in monotonic seconds.
    """

    applied: int
    followed: int
    at: float


class Process:
    """A running command of an example."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Follow ``process``."""
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def progress(self) -> AsyncIterator[Progress]:
        """Yield what a worker reports, until it ends."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = json.loads(line)
            yield Progress(told["applied"], told["followed"], time.monotonic())

    async def output(self, *codes: int) -> str:
        """Wait for the end; raise ``EOConsumerError`` unless the exit code is among ``codes``."""
        out, complaint = await self._process.communicate()
        code = self._process.returncode
        if code not in (codes or (0,)):
            raise EOConsumerError(f"The example ended with {code}: {complaint.decode()}")
        return out.decode()

    async def too_early(self, mode: str) -> EOConsumerError:
        """Return the error of the worker of ``mode``, that has ended before its work was done."""
        _, complaint = await self._process.communicate()
        return EOConsumerError(
            f"The worker of {mode} ended with {self._process.returncode} before its work was done: "
            f"{complaint.decode().strip()}"
        )

    async def was_killed(self) -> bool:
        """Wait for the end; return whether it was SIGKILL, as planned, or else the proper end."""
        await self.output(0, -signal.SIGKILL)
        return self._process.returncode == -signal.SIGKILL

    async def drain(self) -> None:
        """Let a worker finish what it has in hand and end."""
        self._signal(signal.SIGTERM)
        await self.output()

    async def end(self) -> None:
        """Make sure that it is gone."""
        self._signal(signal.SIGKILL)
        await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it is known to have ended.

        Not by the methods of asyncio, which in older Pythons ask for its end first: 1. it ends, 2.
        they take its exit code, 3. asyncio's watcher, who had to, finds no such child, complains to
        the terminal and reports 255.
        """
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)


@asynccontextmanager
async def example(name: str, *arguments: str, store: str = "") -> AsyncIterator[Process]:
    """Run a command of the example ``name``; it is gone when this context is left.

    ``store`` is a URL, which may hold a password: everybody on a machine can read command lines.
    """
    process = Process(
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", name, *arguments),
            env={**os.environ, "PYTHONPATH": str(examples()), "EOCONSUMER_STORE": store},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # Ctrl-C in a terminal is ours alone: we end the workers, then the servers.
            start_new_session=True,
        )
    )
    try:
        yield process
    finally:
        await process.end()


@dataclass(frozen=True)
class Feed:
    """The documents of one seed, produced bit by bit into one topic."""

    bootstrap: str
    topic: str
    seed: int

    async def produce(self, count: int, skip: int, rate: float | None = None) -> None:
        """Produce ``count`` documents after the seed's first ``skip``, ``rate`` a second."""
        where = ("-b", self.bootstrap, "--topic", self.topic)
        which = ("-n", str(count), "--skip", str(skip), "--seed", str(self.seed))
        pace = () if rate is None else ("--rate", str(rate))
        async with example("stock_ledger", "generate", *where, *which, *pace) as process:
            await process.output()


def examples() -> Path:
    """Return the folder of the examples: in the package, or beside it in a checkout."""
    package = Path(eoconsumer.__file__).parent
    for folder in (package / "examples", package.parent / "examples"):
        if (folder / "stock_ledger").is_dir():
            return folder
    raise ConfigurationError(
        "The examples are not there; nothing was started. Install eoconsumer anew, or run it from "
        "a checkout."
    )
