"""What a benchmark shows while it runs: one bar in a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

PLAIN_WIDTH = 110  # where there is no terminal whose width could be asked for


class View:
    """Shows what happens; a context manager, since a bar has to be taken down."""

    def __init__(self, runs: int, console: Console | None = None) -> None:
        """Show a bar that is full after ``runs``."""
        self._console = console or Console(highlight=False)
        self._live = self._console.is_terminal
        if not self._live:
            self._console.width = PLAIN_WIDTH
        self._progress = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description:20}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._live,
        )
        self._bar = self._progress.add_task("", total=runs)
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has been shown."""
        return time.monotonic() - self._began

    def say(self, what: str) -> None:
        """Show what takes time now."""
        self._line(f"{what} ...")

    def begin(self, name: str) -> None:
        """Show who runs now."""
        self._progress.update(self._bar, description=name)

    def end(self, name: str, where: str, what: str) -> None:
        """Show what came of one run."""
        self._progress.advance(self._bar)
        self._line(f"{where:9}  {name:20} {what}")

    def show(self, *results: RenderableType) -> None:
        """Show the results."""
        for result in results:
            self._console.print(result)

    def _line(self, text: str) -> None:
        line = f"{self.seconds:6.1f} s  {text}"
        if self._live:
            self._progress.console.print(line, style="dim", markup=False)
        else:
            self._console.print(line, markup=False)

    def __enter__(self) -> Self:
        """Put up the bar."""
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the bar as it is."""
        self._progress.stop()
