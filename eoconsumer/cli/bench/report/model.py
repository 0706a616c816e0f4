"""What a report holds; how it looks is the business of the other files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple


class Point(NamedTuple):
    """One value, and the spread that it is the median of."""

    x: float | str
    y: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Plot:
    """Bars or lines; ``x_log`` and ``y_log`` for values that span magnitudes."""

    kind: Literal["bars", "lines"]
    x: str
    y: str
    series: Mapping[str, Sequence[Point]]
    x_log: bool = False
    y_log: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as text; all columns but the first ``words`` are numbers."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1


@dataclass(frozen=True, slots=True)
class Section:
    """One question, what was measured, and how.

    ``figures`` has everything, for programs; None where another section has it.
    """

    name: str
    title: str
    text: str
    table: Table
    figures: Any
    plot: Plot | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The answers of one run."""

    title: str
    command: str
    machine: Mapping[str, str]
    sections: Sequence[Section]
