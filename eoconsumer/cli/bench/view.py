"""What a benchmark shows while it runs: one bar for all runs."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from eoconsumer.cli.view import Bars


class View(Bars):
    """Shows who runs, and what came of each run."""

    def __init__(self, runs: int, console: Console | None = None) -> None:
        """Show a bar that is full after ``runs``."""
        super().__init__(
            console,
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description:20}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._bar = self._progress.add_task("", total=runs)

    def begin(self, name: str) -> None:
        """Show who runs now."""
        self._progress.update(self._bar, description=name)

    def end(self, name: str, where: str, what: str) -> None:
        """Show what came of one run."""
        self._progress.advance(self._bar)
        self.line(f"{where:9}  {name:20} {what}")
