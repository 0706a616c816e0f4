"""Puts the evidence together: from the servers, and from the folder with the journals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.checker.evidence import Evidence, lines
from tests.chaos.checker.servers import read_database, read_topic


@dataclass(frozen=True, slots=True)
class Where:
    """The servers, and what is looked at on them."""

    bootstrap: str
    store_url: str
    topic: str
    database: str
    side_database: str | None  # of the topic that has several lives, if there is one


def gather(
    where: Where,
    folder: Path,
    mode: str,
    planned: Sequence[str],
    initial_stock: dict[str, int],
    canaries: list[str],
) -> Evidence:
    """Read topic and database to their ends, and all that was written down."""
    database = read_database(where.store_url, where.database)
    other = read_database(where.store_url, where.side_database) if where.side_database else {}
    files = sorted(path for path in folder.iterdir() if path.suffix in (".log", ".jsonl"))
    written = {path.name: path.read_text("utf-8", errors="replace") for path in files}
    written |= {name: json.dumps(database[name], default=str) for name in ("effects", "letters")}
    told = {name: lines([folder / f"{name}.jsonl"]) for name in ("feed", "changes", "faults")}
    snapshots = lines([folder / "snapshots.jsonl"])
    return Evidence(
        mode=mode,
        visible=read_topic(where.bootstrap, where.topic),
        **database,
        **told,
        initial_stock=initial_stock,
        side_feed=lines([folder / "side.jsonl"]),
        side_effects=other.get("effects", []),
        snapshots=[line for line in snapshots if line["said"] == "snapshot"],
        said=lines([*sorted(folder.glob("worker-*.jsonl")), folder / "crew.jsonl"]),
        planned=list(planned),
        written=written,
        canaries=canaries,
    )
