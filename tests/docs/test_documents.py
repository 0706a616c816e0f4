"""The documents say what the code says."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
from pathlib import Path

import markdown
import pytest

from eoconsumer import Consumer, Events, Message, RetryPolicy, Snapshot, errors

ROOT = markdown.ROOT
DOCUMENTS = markdown.documents()
DEMO = "python3 -m venv .venv && .venv/bin/pip install -e '.[demo]' && .venv/bin/eoconsumer demo"
TESTS = "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/python -m pytest"

_FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def document(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


def rows(text: str) -> dict[str, list[str]]:
    """Return the rows of all tables, by the code in their first cell."""
    cells = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in text.splitlines()
        if line.startswith("| `")
    ]
    return {row[0].strip("| ").strip("`"): row[1:] for row in cells}


def anchors(path: Path) -> set[str]:
    text = _FENCED.sub("", path.read_text("utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_snippets_and_diagrams_equal_their_source(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text == markdown.filled(text), "run: python tests/docs/markdown.py"


def test_every_snippet_program_is_shown_somewhere() -> None:
    shown = {file for path in DOCUMENTS for file, _ in markdown.snippets(path.read_text("utf-8"))}
    assert set(markdown.SNIPPETS.glob("*.py")) - shown == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_relative_link_resolves(path: Path) -> None:
    broken = []
    for link in _LINK.findall(_FENCED.sub("", path.read_text("utf-8"))):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_document_is_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    todo = [ROOT / "README.md"]
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        links = _LINK.findall(_FENCED.sub("", path.read_text("utf-8")))
        targets = [(path.parent / link.partition("#")[0]).resolve() for link in links]
        for target in targets:
            todo += sorted(target.glob("*.md")) if target.is_dir() else []
            todo += [target] if target.suffix == ".md" and target.is_file() else []
    assert set(DOCUMENTS) - seen == set()


def test_the_readme_has_the_two_commands_each_on_one_line() -> None:
    lines = document("README.md").splitlines()
    assert lines.count(DEMO) == 1
    assert lines.count(TESTS) == 1


def test_ci_runs_the_test_command_of_the_readme_in_a_fresh_environment() -> None:
    script = ROOT / ".ci" / "run"
    lines = script.read_text("utf-8").splitlines()
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in lines
    assert lines[-2:] == ["rm -rf .venv", TESTS]


def test_every_setting_is_in_the_reference_with_its_default() -> None:
    table = rows(document("docs/reference/settings.md"))
    given = inspect.signature(Consumer.__init__).parameters
    settings = [name for name in given if name not in ("self", "bootstrap_servers", "store")]
    wrong = {}
    for setting in [*settings, "value_type"]:
        default = getattr(Consumer, setting)
        if isinstance(default, str) and default:
            default = str(default)  # a mode is shown as the string that is accepted for it
        shown = "required" if default in ("", ()) else f"`{_text(default)}`"
        if setting not in table or not table[setting][0].startswith(shown):
            wrong[setting] = shown
    assert wrong == {}


def _text(default: object) -> str:
    if isinstance(default, str):
        return f'"{default}"'
    return f"{type(default).__name__}()" if isinstance(default, Events) else repr(default)


def test_the_fields_of_a_retry_policy_are_in_the_reference_with_their_defaults() -> None:
    table = rows(document("docs/reference/settings.md"))
    fields = {field.name: repr(field.default) for field in dataclasses.fields(RetryPolicy)}
    assert {name: table.get(name, [""])[0].strip("`") for name in fields} == fields


def test_every_error_is_in_the_reference() -> None:
    table = rows(document("docs/reference/errors.md"))
    kinds = {name for name, kind in vars(errors).items() if inspect.isclass(kind)}
    public = {name for name in kinds if issubclass(getattr(errors, name), errors.EOConsumerError)}
    assert public - table.keys() == {"EOConsumerError"}


def test_every_hook_and_every_counter_is_in_the_reference() -> None:
    table = rows(document("docs/reference/events.md"))
    hooks = {name for name, method in vars(Events).items() if inspect.isfunction(method)}
    counters = {field.name for field in dataclasses.fields(Snapshot)}
    assert (hooks | counters) - {row.partition("(")[0] for row in table} == set()


def test_every_field_of_a_message_is_in_the_reference() -> None:
    table = rows(document("docs/reference/message.md"))
    fields = {name for name, field in vars(Message).items() if isinstance(field, property)}
    assert fields - table.keys() == set()


def test_the_file_map_names_every_module() -> None:
    text = document("docs/explanation/internals.md")
    package = ROOT / "eoconsumer"
    modules = [path for path in package.rglob("*.py") if path.name != "__init__.py"]
    assert [name(path) for path in modules if f"`{path.name}`" not in text] == []
