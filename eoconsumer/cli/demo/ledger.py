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
from contextlib import asynccontextmanager
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


@dataclass(frozen=True)
class Ledger:
    """The ledger in one mode, with a topic, a group and a database of its own."""

    mode: str
    bootstrap: str
    store: str
    topic: str

    async def generate(self, count: int, seed: int, skip: int, rate: float | None = None) -> None:
        """Produce ``count`` documents of ``seed`` after its first ``skip``, ``rate`` a second."""
        pace = () if rate is None else ("--rate", str(rate))
        source = ("-n", str(count), "--seed", str(seed), "--skip", str(skip))
        async with self._started("generate", *self._kafka, *source, *pace) as process:
            await process.output()

    @asynccontextmanager
    async def worker(self, *options: str) -> AsyncIterator[Process]:
        """Run a worker; it is gone when this context is left."""
        where = (*self._kafka, "--store", self.store, "--group", self.topic)
        mode = ("--mode", self.mode.replace("_", "-"), "--progress")
        async with self._started("run", *where, *mode, *options) as process:
            yield process

    async def check(self) -> dict[str, Any]:
        """Compare ledger and stock with what was produced."""
        where = (*self._kafka, "--store", self.store, "--group", self.topic)
        async with self._started("check", *where, "--json") as process:
            figures: dict[str, Any] = json.loads(await process.output(AGREE, DISAGREE))
            return figures

    @property
    def _kafka(self) -> Sequence[str]:
        return ("-b", self.bootstrap, "--topic", self.topic)

    @asynccontextmanager
    async def _started(self, *arguments: str) -> AsyncIterator[Process]:
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
