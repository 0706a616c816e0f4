"""What the demo shows while it runs: bars in a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from eoconsumer.cli.demo.plan import MODES

PLAIN_WIDTH = 110  # where there is no terminal whose width could be asked for


class View:
    """Shows what happens; a context manager, since bars have to be taken down."""

    def __init__(self, documents: int, console: Console | None = None) -> None:
        """Show bars that are full at ``documents``, one for each mode."""
        self._console = console or Console(highlight=False)
        self._live = self._console.is_terminal
        if not self._live:
            self._console.width = PLAIN_WIDTH
        self._progress = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description:13}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
            console=self._console,
            disable=not self._live,
        )
        self._bars = {
            mode: self._progress.add_task(title(mode), total=documents, note="", visible=False)
            for mode in MODES
        }
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has been shown."""
        return time.monotonic() - self._began

    def say(self, what: str) -> None:
        """Show what begins now."""
        if self._live:
            self._progress.print(f"[dim]{self.seconds:5.1f} s[/]  {what} ...")
        else:
            self._line(f"{what} ...")

    def note(self, mode: str, what: str) -> None:
        """Show what happened in a mode."""
        if self._live:
            self._progress.update(self._bars[mode], note=what, visible=True)
        else:
            self._line(f"{title(mode):13}  {what}")

    def advance(self, mode: str, documents: int) -> None:
        """Show that so many more documents were done; some are done twice, some never."""
        self._progress.update(self._bars[mode], advance=documents, visible=True)

    def show(self, *results: RenderableType) -> None:
        """Show the results."""
        for result in results:
            self._console.print(result)

    def _line(self, text: str) -> None:
        self._console.print(f"{self.seconds:5.1f} s  {text}", markup=False)

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


def title(mode: str) -> str:
    """Return how a mode is written for readers."""
    return mode.replace("_", "-")
