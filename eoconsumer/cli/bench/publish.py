"""The frame of every benchmark: servers, a view, and the report in all its forms."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from eoconsumer.cli.bench.report.machine import machine
from eoconsumer.cli.bench.report.model import Report, Section
from eoconsumer.cli.bench.report.text import as_json, markdown, rendered
from eoconsumer.cli.bench.stage import Stage, stage
from eoconsumer.cli.bench.view import View
from eoconsumer.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Files:
    """Where the report goes, beside the terminal."""

    json: Path | None
    html: Path | None
    markdown: Path | None

    @classmethod
    def checked(cls, json: Path | None, html: Path | None, markdown: Path | None) -> Files:
        """Return them; raises ``ConfigurationError`` where one has no folder."""
        for path in (json, html, markdown):
            if path is not None and not path.parent.is_dir():
                raise ConfigurationError(f"There is no folder {path.parent}; nothing was measured.")
        return cls(json, html, markdown)

    def write(self, report: Report) -> None:
        """Write the report in each form that was asked for."""
        if self.json is not None:
            self.json.write_text(as_json(report))
        if self.markdown is not None:
            self.markdown.write_text(markdown(report))
        if self.html is not None:
            from eoconsumer.cli.bench.report.page import page

            self.html.write_text(page(report))


def publish(
    title: str, runs: int, measure: Callable[[Stage, View], Sequence[Section]], files: Files
) -> None:
    """Start the servers, ``measure``, show what came of it, and write ``files``."""
    with View(runs) as view, stage(view.say) as ready:
        before = machine(ready.mongod)
        sections = measure(ready, view)
    report = Report(title, _command(), before, sections)
    view.show(rendered(report))
    files.write(report)


def _command() -> str:
    """Return how to do it again: without the names of the files, which are nobody else's."""
    words, given = ["eoconsumer"], iter(sys.argv[1:])
    for word in given:
        if word in ("--json", "--html", "--markdown"):
            next(given, None)
        elif not word.startswith(("--json=", "--html=", "--markdown=")):
            words.append(word)
    return shlex.join(words)
