"""Lint, format, types, import rules and a few habits: held by the same command as the tests."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
ROWS = {f"S3-{number:02}" for number in range(1, 27) if number != 4}
ROWS |= {"N1", "N2", "N3", "N4", "N5", "N6", "N7", "N8", "N13", "N14", "N15", "N17"}
PRAGMA = re.compile(r"#\s*(noqa|type:\s*ignore)")
REASON = re.compile(r"#\s*(?:noqa: *[A-Z0-9, ]+ - \S|type:\s*ignore\[[^]]*\]\s+# \S)")


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders or ("eoconsumer", "examples", "tests"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def check(*command: str) -> None:
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"


def test_ruff_finds_nothing() -> None:
    check("ruff", "check", ".")


def test_the_code_is_formatted() -> None:
    check("ruff", "format", "--check", ".")


def test_the_floors_look_down_and_never_up() -> None:
    check("lint-imports", "--no-cache")


def test_each_file_of_tests_has_a_name_of_its_own() -> None:
    names = [path.name for path in sources("tests") if path.name.startswith("test_")]
    assert sorted(names) == sorted(set(names))


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in sources()}
    assert {str(p.relative_to(ROOT)): n for p, n in lengths.items() if n > 400} == {}


def test_every_exception_to_a_rule_has_its_reason_beside_it() -> None:
    bare = []
    for path in sources("eoconsumer", "examples"):
        lines = path.read_text("utf-8").splitlines()
        reasons: set[str] = set()
        for number, (above, line) in enumerate(zip(["", *lines], lines, strict=False), 1):
            found = PRAGMA.search(line)
            if found is None:
                continue
            rule = re.split(r" - |  # ", line[found.start() :])[0].strip()
            if REASON.search(line) or above.lstrip().startswith("#"):
                reasons.add(rule)  # one reason stands for the same rule further down the file
            elif rule not in reasons:
                bare.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert bare == [], "\n".join(bare)


def proved() -> dict[str, set[str]]:
    """Return the rows that tests claim to prove, and where."""
    rows: dict[str, set[str]] = {}
    for path in sources("tests"):
        for marks in re.findall(r"mark\.requirement\(([^)]*)\)", path.read_text("utf-8")):
            for row in re.findall(r'"([^"]+)"', marks):
                rows.setdefault(row, set()).add(path.name)
    return rows


def test_no_test_claims_a_requirement_that_does_not_exist() -> None:
    assert {row: where for row, where in proved().items() if row not in ROWS} == {}


def test_every_requirement_has_a_test() -> None:
    assert sorted(ROWS - proved().keys()) == []
