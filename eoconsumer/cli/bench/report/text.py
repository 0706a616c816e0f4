"""A report as tables in a terminal, as Markdown, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from eoconsumer.cli.bench.report.model import Report, Section, Table


def rendered(report: Report) -> RenderableType:
    """Return all sections for a terminal."""
    return Group(*(part for section in report.sections for part in _section(section)))


def _section(section: Section) -> Iterator[RenderableType]:
    yield Text(f"\n{section.title}", style="bold")
    yield _table(section.table)
    yield Text(section.text, style="dim")


def _table(table: Table) -> RichTable:
    shown = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1), show_edge=False)
    for number, column in enumerate(table.columns):
        numeric = number >= table.words
        shown.add_column(column, justify="right" if numeric else "left", no_wrap=numeric)
    for row in table.rows:
        shown.add_row(*row)
    return shown


def markdown(report: Report) -> str:
    """Return it as a document."""
    lines = [f"# {report.title}", "", "```shell", report.command, "```", ""]
    lines += _grid(Table(("", ""), list(report.machine.items()), words=2))
    for section in report.sections:
        lines += ["", f"## {section.title}", "", *_grid(section.table), "", section.text]
    return "\n".join(lines) + "\n"


def _grid(table: Table) -> Iterator[str]:
    yield f"| {' | '.join(table.columns)} |"
    rules = ("---" if n < table.words else "---:" for n in range(len(table.columns)))
    yield f"| {' | '.join(rules)} |"
    for row in table.rows:
        cells = (cell.replace("|", "\\|") for cell in row)
        yield f"| {' | '.join(cells)} |"


def as_json(report: Report) -> str:
    """Return the figures of all sections, and how to repeat them."""
    head = {"title": report.title, "command": report.command, "machine": dict(report.machine)}
    figures = {each.name: each.figures for each in report.sections if each.figures is not None}
    return json.dumps(head | figures, indent=2) + "\n"
