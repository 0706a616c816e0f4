"""The stock ledger of the examples, run as the processes that a user would run.

They have to be processes: SIGKILL is the point of the demo.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import eoconsumer
from eoconsumer.errors import ConfigurationError, EOConsumerError

AGREE, DISAGREE = 0, 3  # exit codes of `stock_ledger check`
STOP_SECONDS = 10.0


class Progress(NamedTuple):
    """How many documents a worker has done, and when (monotonic seconds) it said so."""

    applied: int
    at: float


class Process:
    """A running `stock_ledger` command."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Follow ``process``."""
        self._process = process

    async def progress(self) -> AsyncIterator[Progress]:
        """Yield what a worker reports, until it ends."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            yield Progress(json.loads(line)["applied"], time.monotonic())

    async def output(self, *codes: int) -> str:
        """Wait for the end; raise ``EOConsumerError`` unless the exit code is among ``codes``."""
        out, complaint = await self._process.communicate()
        code = self._process.returncode
        if code not in (codes or (0,)):
            raise EOConsumerError(f"The stock ledger ended with {code}: {complaint.decode()}")
        return out.decode()

    async def was_killed(self) -> bool:
        """Wait for the end; return whether it was SIGKILL, as planned, or else the proper end."""
        await self.output(0, -signal.SIGKILL)
        return self._process.returncode == -signal.SIGKILL

    async def drain(self) -> None:
        """Let a worker finish what it has in hand and end."""
        self._process.send_signal(signal.SIGTERM)
        await self.output()

    async def end(self) -> None:
        """Make sure that it is gone."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def stock_ledger(*arguments: str) -> AsyncIterator[Process]:
    """Run a command of the stock ledger; it is gone when this context is left."""
    process = Process(
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "stock_ledger", *arguments),
            env={**os.environ, "PYTHONPATH": str(examples())},
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
        async with stock_ledger("generate", *where, *which, *pace) as process:
            await process.output()


@dataclass(frozen=True)
class Ledger:
    """The ledger kept in one mode, with a group and a database of its own."""

    mode: str
    bootstrap: str
    topic: str
    store: str

    def worker(self, *options: str) -> AbstractAsyncContextManager[Process]:
        """Run a worker; it is gone when this context is left."""
        mode = self.mode.replace("_", "-")
        return stock_ledger("run", *self._where, "--mode", mode, "--progress", *options)

    async def check(self) -> dict[str, Any]:
        """Compare ledger and stock with what was produced."""
        async with stock_ledger("check", *self._where, "--json") as process:
            figures: dict[str, Any] = json.loads(await process.output(AGREE, DISAGREE))
            return figures

    @property
    def _where(self) -> Sequence[str]:
        kafka = ("-b", self.bootstrap, "--topic", self.topic, "--group", self.mode)
        return (*kafka, "--store", self.store)


def examples() -> Path:
    """Return the folder of the examples: in the package, or beside it in a checkout."""
    package = Path(eoconsumer.__file__).parent
    for folder in (package / "examples", package.parent / "examples"):
        if (folder / "stock_ledger").is_dir():
            return folder
    raise ConfigurationError(
        "The example stock_ledger is not there; nothing was started. Install eoconsumer anew, or "
        "run the demo from a checkout."
    )
