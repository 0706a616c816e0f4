"""What a long command shows while it runs: bars in a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.progress import Progress, ProgressColumn

PLAIN_WIDTH = 110  # where there is no terminal whose width could be asked for


class Bars:
    """Shows what happens; a context manager, since bars have to be taken down."""

    def __init__(self, console: Console | None, *columns: ProgressColumn) -> None:
        """Show bars of ``columns`` on ``console``, by default on standard output."""
        self._console = console or Console(highlight=False)
        self._live = self._console.is_terminal
        if not self._live:
            self._console.width = PLAIN_WIDTH
        self._progress = Progress(*columns, console=self._console, disable=not self._live)
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has been shown."""
        return time.monotonic() - self._began

    def say(self, what: str) -> None:
        """Show what begins now, and takes time."""
        self.line(f"{what} ...")

    def line(self, text: str) -> None:
        """Show a line, with the time."""
        line = f"{self.seconds:6.1f} s  {text}"
        if self._live:
            self._progress.console.print(line, style="dim", markup=False)
        else:
            self._console.print(line, markup=False)

    def show(self, *results: RenderableType) -> None:
        """Show the results."""
        for result in results:
            self._console.print(result)

    def __enter__(self) -> Self:
        """Put up the bars."""
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the bars as they are."""
        self._progress.stop()
