"""The protocol, state by state: what holds in all of them, and what each part is there for."""

from __future__ import annotations

from pathlib import Path

import pytest
from cases import CASES, Case, explored
from explorer import Result

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "model.md"


@pytest.fixture(scope="module")
def results() -> dict[Case, Result]:
    return explored()


@pytest.mark.slow
@pytest.mark.requirement("S3-06", "S3-07", "S3-08")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_the_protocol_breaks_this_promise_or_none(case: Case, results: dict[Case, Result]) -> None:
    result = results[case]
    print(f"{case.title}: {result}")  # noqa: T201 - pytest shows the way to a broken promise
    assert result.broken == case.breaks
    assert bool(result.trace) == bool(case.breaks)


@pytest.mark.slow
def test_the_page_about_the_model_gives_its_figures(results: dict[Case, Result]) -> None:
    page = PAGE.read_text("utf-8")
    rows = [f"| {c.title} | {results[c].states:,} | {c.breaks or 'all hold'} |" for c in CASES]
    assert [row for row in rows if row not in page] == []
