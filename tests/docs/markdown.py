"""Fills the generated parts of the documents: snippets from programs that run, and the diagram.

``python tests/docs/markdown.py`` writes them; ``test_documents.py`` fails where that was forgotten.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

from eoconsumer.core.partition import TABLE, Event, State

ROOT = Path(__file__).parents[2]
SNIPPETS = ROOT / "tests" / "docs" / "snippets"

_SNIPPET = re.compile(
    r"(?P<head><!-- snippet: (?P<file>[^#\s]+)#(?P<name>\S+) -->\n).*?(?P<foot><!-- /snippet -->)",
    re.DOTALL,
)
_DIAGRAM = re.compile(
    r"(?P<head><!-- diagram: partition -->\n).*?(?P<foot><!-- /diagram -->)", re.DOTALL
)
_LANGUAGES = {".py": "python", ".sh": "shell", ".js": "javascript"}


def documents() -> list[Path]:
    """Return every Markdown file of the project."""
    top = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
    return [*top, *sorted((ROOT / "docs").rglob("*.md")), *(ROOT / "examples").rglob("*.md")]


def snippets(text: str) -> Iterator[tuple[Path, str]]:
    """Return the file and the name of each snippet that ``text`` asks for."""
    for found in _SNIPPET.finditer(text):
        yield ROOT / found["file"], found["name"]


def cut(file: Path, name: str) -> str:
    """Return the lines of ``file`` between the markers of ``name``, or what it defines by it."""
    start, end = f"# --8<-- [start:{name}]", f"# --8<-- [end:{name}]"
    lines = file.read_text("utf-8").splitlines()
    marked = [line.strip() for line in lines]
    if start in marked:
        inside = lines[marked.index(start) + 1 : marked.index(end)]
    else:
        inside = lines[slice(*definition("\n".join(lines), name))]
    return dedent("\n".join(inside)).strip("\n")


def definition(source: str, name: str) -> tuple[int, int]:
    """Return the lines in which ``source`` defines a class or function, ``Class.method`` too."""
    found: Any = ast.parse(source)
    for part in name.split("."):
        found = next(each for each in found.body if getattr(each, "name", None) == part)
    return found.lineno - 1, found.end_lineno


def filled(text: str) -> str:
    """Return ``text`` with each generated part as it should be."""

    def snippet(found: re.Match[str]) -> str:
        file = ROOT / found["file"]
        fenced = f"```{_LANGUAGES[file.suffix]}\n{cut(file, found['name'])}\n```\n"
        return found["head"] + fenced + found["foot"]

    def drawing(found: re.Match[str]) -> str:
        return found["head"] + f"```mermaid\n{diagram()}\n```\n" + found["foot"]

    return _DIAGRAM.sub(drawing, _SNIPPET.sub(snippet, text))


def diagram() -> str:
    """Return the states of a partition as a mermaid diagram, drawn from the table of the code."""
    arrows: dict[tuple[State, State], list[Event]] = {}
    for (state, event), target in TABLE.items():
        arrows.setdefault((state, target), []).append(event)
    lines = ["stateDiagram-v2", f"    [*] --> {State.UNCLAIMED.name}: assigned"]
    for (state, target), events in arrows.items():
        names = ", ".join(event.name.lower() for event in events)
        lines.append(f"    {state.name} --> {target.name}: {names}")
    lines.append(f"    {State.GONE.name} --> [*]")
    return "\n".join(lines)


if __name__ == "__main__":
    for document in documents():
        document.write_text(filled(document.read_text("utf-8")), "utf-8")
