"""All that the checks look at, in plain values."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Place = tuple[str, int]  # topic, partition
Line = dict[str, Any]

EXACTLY_ONCE, AT_LEAST_ONCE, AT_MOST_ONCE = "exactly_once", "at_least_once", "at_most_once"


@dataclass(frozen=True, slots=True)
class Visible:
    """A message that a consumer with read_committed gets to see."""

    offset: int
    key: str
    kind: str  # "transfer", "poison", "tombstone"
    seq: int = 0  # within its key; a tombstone has none


@dataclass(slots=True)
class Evidence:
    """What is in the topic and in the database at the end, and what was written down meanwhile.

    ``effects`` and ``letters`` are rows with topic, partition and offset; ``positions`` the stored
    ones; ``stock`` and ``initial_stock`` by account; ``side_feed`` and ``side_effects`` belong to
    the topic that has several lives; the others are lines of the journals.
    """

    mode: str = EXACTLY_ONCE
    visible: dict[Place, list[Visible]] = field(default_factory=dict)
    effects: list[Line] = field(default_factory=list)
    letters: list[Line] = field(default_factory=list)
    side_feed: list[Line] = field(default_factory=list)
    side_effects: list[Line] = field(default_factory=list)
    positions: dict[Place, int] = field(default_factory=dict)
    stock: dict[str, int] = field(default_factory=dict)
    initial_stock: dict[str, int] = field(default_factory=dict)
    feed: list[Line] = field(default_factory=list)
    snapshots: list[Line] = field(default_factory=list)
    changes: list[Line] = field(default_factory=list)
    faults: list[Line] = field(default_factory=list)
    said: list[Line] = field(default_factory=list)
    planned: list[str] = field(default_factory=list)  # kinds
    written: dict[str, str] = field(default_factory=dict)  # name to text, for the canaries
    canaries: list[str] = field(default_factory=list)


def lines(paths: Iterable[Path]) -> list[Line]:
    """Read JSON lines; the last one of a killed process may be cut off."""
    found: list[Line] = []
    for path in paths:
        for text in path.read_text("utf-8", errors="replace").splitlines():
            try:
                found.append(json.loads(text))
            except ValueError:
                continue
    return found
