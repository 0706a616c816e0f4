"""All is well typed, and so is what users write; a user's mistakes are not.

One run of the type checker says all: each of its own would read eoconsumer and what it imports
again.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "eoconsumer",
    "examples/stock_ledger",
    "examples/web_service",
    "examples/mode_comparison",
    "examples/custom_store",
)
#: The programs of the documents, and two that name what users name.
SNIPPETS = "tests/docs/snippets"
PROGRAMS = ("tests/typing/program.py", "tests/typing/sessions.py")
#: Each mistake is marked as known; strict mode complains about a mark that is not needed.
MISTAKES = "tests/typing/mistakes.py"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def complaints() -> list[str]:
    """What the strict type checker says, a line for each complaint, and one that sums up."""
    snippets = sorted(str(path.relative_to(ROOT)) for path in (ROOT / SNIPPETS).glob("*.py"))
    files = [*PACKAGES, *snippets, *PROGRAMS, MISTAKES]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout.splitlines()
    assert said, done.stderr
    assert said[-1].startswith(("Success: ", "Found ")), said
    return said


@pytest.mark.parametrize("place", [*PACKAGES, SNIPPETS, *PROGRAMS, MISTAKES])
def test_the_types_are_strict_and_right(place: str, complaints: list[str]) -> None:
    assert [line for line in complaints if line.startswith(place)] == []


def test_the_type_checker_has_no_complaint_about_anything_else(complaints: list[str]) -> None:
    assert complaints[-1].startswith("Success: "), "\n".join(complaints)
