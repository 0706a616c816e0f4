"""What the demo shows while it runs: a bar for each mode."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn

from eoconsumer.cli.demo.plan import MODES
from eoconsumer.cli.view import Bars


class View(Bars):
    """Shows how far each mode is, and what happened to it."""

    def __init__(self, documents: int, console: Console | None = None) -> None:
        """Show bars that are full at ``documents``, one for each mode."""
        super().__init__(
            console,
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description:13}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
        )
        self._bars = {
            mode: self._progress.add_task(title(mode), total=documents, note="", visible=False)
            for mode in MODES
        }

    def note(self, mode: str, what: str) -> None:
        """Show what happened in a mode."""
        if self._live:
            self._progress.update(self._bars[mode], note=what, visible=True)
        else:
            self.line(f"{title(mode):13}  {what}")

    def advance(self, mode: str, documents: int) -> None:
        """Show that so many more documents were done; some are done twice, some never."""
        self._progress.update(self._bars[mode], advance=documents, visible=True)


def title(mode: str) -> str:
    """Return how a mode is written for readers."""
    return mode.replace("_", "-")
