"""The reports of the benchmarks: every form has every figure, and the page needs no network."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser

import pytest
from rich.console import Console

from eoconsumer.cli.bench.limit import adaptive, latency, memory, start, throughput
from eoconsumer.cli.bench.limit.plan import PARTS, SIDES, SIZES, Plan
from eoconsumer.cli.bench.report.cells import decimal
from eoconsumer.cli.bench.report.machine import load
from eoconsumer.cli.bench.report.model import Plot, Point, Report, Section, Table
from eoconsumer.cli.bench.report.page import drawn, page
from eoconsumer.cli.bench.report.text import as_json, markdown, rendered
from eoconsumer.cli.bench.task import Result
from eoconsumer.cli.bench.turns import in_words
from eoconsumer.cli.bench.view import View
from eoconsumer.errors import ConfigurationError


def result(rate: float, **latency: float) -> Result:
    cpu = {"client": 0.004, "mongod": 0.02, "kafka": 0.001}
    times = {name.replace("_", "."): ms for name, ms in latency.items()}
    return Result("x", 1_000, 1_000 / rate, 4, 0.5, cpu, 120_000_000, times)


SPEEDS = {"limit": 50_000, "writes": 49_000, "at-least-once": 48_000, "one-by-one": 200}


def report() -> Report:
    results = {name: [result(speed), result(speed * 2)] for name, speed in SPEEDS.items()}
    return Report(
        "How <near>", "eoconsumer bench limit", {"memory": "8 GiB"}, throughput.sections(results)
    )


class Links(HTMLParser):
    """Collects what a browser would load, or could go to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        wanted = ("src", "href", "xlink:href", "data", "action", "srcset", "poster")
        self.found += [value or "" for name, value in attrs if name in wanted]
        if tag in ("link", "script", "iframe", "img", "object", "embed"):
            self.found.append(tag)


def loaded_by(html: str) -> list[str]:
    """Return what ``html`` takes from elsewhere; a mark inside of the page is none."""
    links = Links()
    links.feed(html)
    urls = re.findall(r"url\(\s*['\"]?([^)'\"]+)|@import", html)
    return [link for link in (*links.found, *urls) if not link.startswith("#")]


def test_the_page_loads_nothing_from_anywhere() -> None:
    html = page(report())
    assert loaded_by(html) == []
    assert html.count("<svg") == 1
    assert "49,000" in html
    assert "How &lt;near&gt;" in html
    assert "2026" not in html.replace(report().command, "")


def test_the_check_for_links_would_see_one() -> None:
    assert loaded_by('<script src="https://x/y.js"></script>') == ["https://x/y.js", "script"]
    assert loaded_by("<style>a { background: url(https://x/y) }</style>") == ["https://x/y"]


def test_the_same_figures_make_the_same_page() -> None:
    assert page(report()) == page(report())


@pytest.mark.parametrize("kind", ["bars", "lines"])
def test_a_plot_has_its_labels_as_text(kind: str) -> None:
    points = [Point(x, x * 10.0, x * 9.0, x * 11.0) for x in (1, 6, 24)]
    series = {"one": points, "two": points[:2]}
    svg = drawn(Plot(kind, "partitions", "messages/s", series, x_log=kind == "lines"))  # type: ignore[arg-type]  # its literals
    for text in ("partitions", "messages/s", "one", "two", "24"):
        assert f">{text}</text>" in svg


def test_the_json_has_every_run_and_how_to_repeat_it() -> None:
    figures = json.loads(as_json(report()))
    assert figures["command"] == "eoconsumer bench limit"
    assert list(figures["throughput"]) == list(SPEEDS)
    assert [len(runs) for runs in figures["throughput"].values()] == [2] * len(SPEEDS)
    first = figures["ratios"][0]
    assert first["ratio"] == "writes / limit"
    assert (first["median"], first["reached"]) == (pytest.approx(0.98), True)


def test_the_markdown_is_a_document_with_the_command_and_all_tables() -> None:
    text = markdown(report())
    assert text.startswith("# How <near>\n\n```shell\neoconsumer bench limit\n```\n")
    assert "| limit | 75,000 | 50,000 | 100,000 |" in text
    assert "| writes / limit | reached | 0.95 | 0.980 | 0.980 | 0.980 |" in text


def test_a_ratio_below_its_target_is_called_missed() -> None:
    slow = {"limit": [result(100)], "writes": [result(90)]}
    *_, ratios = throughput.sections(slow)
    assert ratios.figures[0]["reached"] is False
    assert ratios.table.rows[0][1] == "MISSED"


def test_without_a_terminal_the_output_is_plain_lines_of_text() -> None:
    out = io.StringIO()
    with View(2, Console(file=out, highlight=False)) as view:
        view.say("Producing")
        view.begin("limit")
        view.end("limit", "warm-up", in_words(result(50_000)))
        view.end("writes", "round 1", in_words(result(500, p50=12.0, p99_9=40.0)))
    view.show(rendered(report()))
    shown = out.getvalue()
    assert "\x1b" not in shown
    assert "\r" not in shown
    assert re.search(r"warm-up +limit +50,000 messages/s", shown)
    assert "p50 12.0 ms  p99.9 40.0 ms" in shown
    assert re.search(r"limit +75,000 +50,000 +100,000", shown)


def timed(p50: float, p99: float) -> Result:
    return result(500, p50=p50, p99=p99, p99_9=p99, max=p99)


def test_the_latency_is_held_against_that_of_the_loop_run_by_run() -> None:
    section = latency.section({"eager": [timed(10, 50)], "writes": [timed(10.5, 60)]}, rate=500)
    assert section.figures["reached"] is False
    assert section.figures["ratios"]["p50"]["median"] == pytest.approx(1.05)
    assert "p50: 1.05 / 1.05 / 1.05, reached" in section.text
    assert "p99: 1.20 / 1.20 / 1.20, MISSED" in section.text


def test_the_adaptive_size_is_held_against_the_best_of_those_that_are_set() -> None:
    speeds = {size: 1_000 * number for number, size in enumerate(SIZES, 10)}
    section = adaptive.section({size: [result(speed)] for size, speed in speeds.items()})
    assert section.figures["best"] == SIZES[-1]
    assert section.figures["ratio"]["median"] == pytest.approx(10 / 16)
    assert section.figures["reached"] is False


def test_the_start_and_the_library_alone_are_held_against_their_targets() -> None:
    assert start.section([result(100)]).figures["reached"] is True
    assert memory.section([result(199_999)]).figures["reached"] is False
    assert memory.section([result(200_000)]).figures["reached"] is True


def test_a_plan_without_names_has_everything_and_counts_its_runs() -> None:
    plan = Plan.checked("", pairs=7, messages=1_000, rate=500, seconds=5)
    assert plan.only == (*SIDES, *PARTS)
    assert plan.runs == 8 * (len(SIDES) + len(SIZES) + 1 + 2 + 1)
    some = Plan.checked("limit, memory", pairs=1, messages=1_000, rate=500, seconds=5)
    assert (some.sides, some.needs_load, some.runs) == (["limit"], True, 4)


def test_an_unknown_name_is_refused_with_the_names_that_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"--only names lmit; nothing was measured.*limit"):
        Plan.checked("lmit", pairs=1, messages=1, rate=1, seconds=1)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.9512, "0.951"),
        (1.0512, "1.05"),
        (12.34, "12.3"),
        (163.6, "164"),
        (1e6, "1,000,000"),
    ],
)
def test_a_number_is_shown_with_three_digits_that_count(value: float, text: str) -> None:
    assert decimal(value, 3) == text


def test_a_report_of_a_busy_machine_says_so() -> None:
    assert load(0.5, cores=2) == "0.50"
    assert load(0.51, cores=2).startswith("0.51: others were at work")


def test_a_pipe_in_a_cell_does_not_end_it() -> None:
    table = Table(("a", "b"), [("x|y", "1")])
    section = Section("s", "S", "text", table, figures=None)
    assert "| x\\|y | 1 |" in markdown(Report("T", "c", {}, [section]))
