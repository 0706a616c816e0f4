"""Positions as a table, and as plain values for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from eoconsumer.cli.offsets.goals import Offsets
    from eoconsumer.cli.offsets.group import Standing

STANDING = ("TOPIC", "PARTITION", "POSITION", "LOG-END", "LAG", "KAFKA", "EPOCH", "OWNER")
PLAN = ("TOPIC", "PARTITION", "POSITION", "NEW-POSITION")


def figures(each: Standing) -> dict[str, Any]:
    """Return all that is known of one partition."""
    return {
        "topic": each.partition.topic,
        "partition": each.partition.partition,
        "position": each.position,
        "handed_over": each.handed_over,
        "epoch": each.epoch,
        "owner": each.owner,
        "log_start": each.low,
        "log_end": each.end,
        "lag": each.lag,
        "committed_in_kafka": each.committed,
    }


def show_standings(standings: Iterable[Standing]) -> None:
    """Print how each partition stands."""
    _table(
        STANDING,
        (
            (*e.partition, e.position, e.end, e.lag, e.committed, e.epoch, e.owner)
            for e in standings
        ),
    )


def show_plan(standings: Iterable[Standing], wanted: Offsets) -> None:
    """Print where each partition stands, and where it is to go."""
    _table(PLAN, ((*e.partition, e.position, wanted[e.partition]) for e in standings))


def _table(head: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    """Print columns; plain, since other programs read them."""
    cells = [["-" if cell is None else str(cell) for cell in line] for line in (head, *lines)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo("  ".join(padded).rstrip())
