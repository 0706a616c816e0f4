"""The ledger of the example ``stock_ledger`` in one mode, worked on and checked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from eoconsumer.cli.examples import Process, example

AGREE, DISAGREE = 0, 3  # exit codes of `stock_ledger check`


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
        how = ("--mode", mode, "--progress", *options)
        return example("stock_ledger", "run", *self._where, *how, store=self.store)

    async def check(self) -> dict[str, Any]:
        """Compare ledger and stock with what was produced."""
        checking = example("stock_ledger", "check", *self._where, "--json", store=self.store)
        async with checking as process:
            figures: dict[str, Any] = json.loads(await process.output(AGREE, DISAGREE))
            return figures

    @property
    def _where(self) -> Sequence[str]:
        return ("-b", self.bootstrap, "--topic", self.topic, "--group", self.mode)
