"""The demo's promises, figures and output, on outcomes that are made up."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from eoconsumer.cli.demo.outcome import Outcome, Summary
from eoconsumer.cli.demo.plan import MODES, Plan
from eoconsumer.cli.demo.view import View
from eoconsumer.cli.examples import examples

RIGHT = Outcome(
    mode="exactly_once",
    produced=1_000,
    applied=1_000,
    lost=0,
    torn=0,
    duplicated=0,
    out_of_order=0,
    stock_correct=True,
    cost_correct=True,
    kills=3,
    seconds_with_kills=1.0,
    messages_per_second=1_234,
    p50_ms=12.0,
    p99_ms=34.0,
)
LOSES = {"applied": 990, "lost": 10, "stock_correct": False}
DOUBLES = {"duplicated": 10, "stock_correct": False}


@pytest.mark.parametrize(
    ("mode", "harm", "kept"),
    [
        ("auto_commit", LOSES | DOUBLES, True),
        ("at_most_once", LOSES, True),
        ("at_most_once", DOUBLES, False),
        ("at_least_once", DOUBLES, True),
        ("at_least_once", LOSES, False),
        ("exactly_once", {}, True),
        ("exactly_once", LOSES, False),
        ("exactly_once", DOUBLES, False),
        ("exactly_once", {"stock_correct": False}, False),
    ],
)
def test_each_mode_is_held_to_its_own_promise(mode: str, harm: dict[str, int], kept: bool) -> None:
    assert replace(RIGHT, mode=mode, **harm).kept is kept  # type: ignore[arg-type]


def summary() -> Summary:
    harm: dict[str, dict[str, int]] = {
        "auto_commit": LOSES | DOUBLES,
        "at_most_once": LOSES,
        "at_least_once": DOUBLES,
    }
    outcomes = [replace(RIGHT, mode=mode, **harm.get(mode, {})) for mode in MODES]  # type: ignore[arg-type]
    return Summary(Plan(1_000, seed=7), outcomes, seconds=60.4)


def test_the_json_has_the_figures_of_every_mode_and_how_to_repeat_them() -> None:
    figures = json.loads(summary().json())
    assert [mode["mode"] for mode in figures["modes"]] == list(MODES)
    for mode in figures["modes"]:
        assert mode["produced"] == mode["applied"] + mode["lost"]
    assert (figures["seed"], figures["kept"], figures["modes"][1]["lost"]) == (7, True, 10)


def test_without_a_terminal_the_output_is_plain_lines_of_text() -> None:
    out = io.StringIO()
    with View(1_000, Console(file=out, highlight=False)) as view:
        view.say("Producing")
        view.advance("exactly_once", 500)
        view.note("exactly_once", "killed with SIGKILL, 1 of 3")
    view.show(summary().table(), summary().text())
    shown = out.getvalue()
    assert "\x1b" not in shown
    assert "\r" not in shown
    assert "exactly-once   killed with SIGKILL, 1 of 3" in shown
    row = next(line for line in shown.splitlines() if line.split()[:2] == ["exactly-once", "1,000"])
    assert row.split()[1:] == ["1,000", "1,000", "0", "0", "right", "1,234", "12", "34"]
    said = " ".join(shown.split())
    assert "auto-commit: 10 lost and 10 duplicated" in said
    assert "exactly-once: nothing lost, nothing duplicated" in said
    assert "these are few transactions: no more than a hint" in said


def test_a_terminal_of_80_columns_shows_every_figure() -> None:
    out = io.StringIO()
    console = Console(file=out, width=80, highlight=False)
    console.print(summary().table())
    assert "…" not in out.getvalue()
    assert "1,234" in out.getvalue()


def test_the_plan_uses_every_document_and_kills_in_the_order_of_the_offsets() -> None:
    for documents in (1_000, 8_000, 9_999):
        plan = Plan(documents, seed=1)
        assert plan.under_kills + plan.backlog + plan.steady == documents
        offsets = [int(crash.split(":")[1]) for crash in plan.crashes]
        assert offsets == sorted(set(offsets))


def test_the_example_that_the_demo_runs_is_found() -> None:
    assert (examples() / "stock_ledger" / "__main__.py").is_file()
