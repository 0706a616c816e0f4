"""A report as one HTML page that holds all it needs: styles, tables, and plots as SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from html import escape

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eoconsumer.cli.bench.report.model import Plot, Report, Section, Table

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .75rem; border-bottom: 1px solid #ddd; text-align: right }
th.word, td.word { text-align: left }
pre { background: #f4f4f4; padding: .75rem; overflow-x: auto }
svg { max-width: 100%; height: auto }
p { color: #555 }
"""
_WIDTH, _HEIGHT = 8.0, 3.6  # inches
#: What a plot says of itself: nothing, so that the same figures make the same page.
_NOTHING = {"Date": None, "Creator": None, "Format": None, "Type": None}


def page(report: Report) -> str:
    """Return the page; it loads nothing from anywhere."""
    title = escape(report.title)
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
            f"<h1>{title}</h1>\n<pre>{escape(report.command)}</pre>",
            *_table(Table(("", ""), list(report.machine.items()), words=2)),
            *(part for section in report.sections for part in _section(section)),
            "</body>\n</html>\n",
        )
    )


def _section(section: Section) -> Iterator[str]:
    yield f"<h2>{escape(section.title)}</h2>"
    yield f"<p>{escape(section.text)}</p>"
    if section.plot is not None:
        yield drawn(section.plot)
    yield from _table(section.table)


def _table(table: Table) -> Iterator[str]:
    def row(tag: str, cells: tuple[str, ...]) -> str:
        words = (' class="word"' if n < table.words else "" for n in range(len(cells)))
        pairs = zip(words, cells, strict=True)
        return "<tr>" + "".join(f"<{tag}{w}>{escape(c)}</{tag}>" for w, c in pairs) + "</tr>"

    yield "<table>"
    if any(table.columns):
        yield row("th", tuple(table.columns))
    yield from (row("td", tuple(cells)) for cells in table.rows)
    yield "</table>"


def drawn(plot: Plot) -> str:
    """Return ``plot`` as an SVG element."""
    # Text stays text, in whatever font the reader has; names in it do not depend on chance.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "eoconsumer"}):
        figure = Figure((_WIDTH, _HEIGHT), layout="constrained")
        axes = figure.add_subplot()
        (_bars if plot.kind == "bars" else _lines)(axes, plot)
        axes.set_xlabel(plot.x)
        axes.set_ylabel(plot.y)
        axes.set_yscale("log" if plot.y_log else "linear")
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if len(plot.series) > 1:
            axes.legend(frameon=False)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata=_NOTHING)
    svg = out.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    return svg[svg.index("<svg") :]


def _bars(axes: Axes, plot: Plot) -> None:
    """Draw a group of bars for each x, with a bar of each series in it."""
    labels = list(dict.fromkeys(str(p.x) for points in plot.series.values() for p in points))
    width = 0.8 / len(plot.series)
    for number, (name, points) in enumerate(plot.series.items()):
        shift = (number - (len(plot.series) - 1) / 2) * width
        places = [labels.index(str(point.x)) + shift for point in points]
        heights = [point.y for point in points]
        errors = [[p.y - p.low for p in points], [p.high - p.y for p in points]]
        axes.bar(places, heights, width * 0.9, label=name or None, yerr=errors, capsize=3)
    axes.set_xticks(range(len(labels)), labels)


def _lines(axes: Axes, plot: Plot) -> None:
    """Draw a line for each series, and its spread as a band."""
    ticks = sorted({float(p.x) for points in plot.series.values() for p in points})
    if plot.x_log:
        axes.set_xscale("log")
    for name, points in plot.series.items():
        xs = [float(point.x) for point in points]
        axes.plot(xs, [point.y for point in points], marker="o", label=name or None)
        axes.fill_between(xs, [p.low for p in points], [p.high for p in points], alpha=0.15)
    axes.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(bottom=None if plot.y_log else 0)
