"""Reads a SQL database, on its own, when the run is over."""

from __future__ import annotations

from typing import Any

from sqlalchemy import create_engine, text

from tests.chaos.checker.evidence import Line

READ = {
    "effects": "SELECT * FROM effects",
    "letters": "SELECT * FROM eoconsumer_dead_letters",
    "positions": "SELECT topic, partition_number, next_offset FROM eoconsumer_offsets",
    "stock": "SELECT account, stock FROM stock",
}


def read_tables(url: str) -> dict[str, Any]:
    """Read what is committed: effects, letters, positions, stock."""
    engine = create_engine(url)
    with engine.connect() as connection:
        read: dict[str, list[Line]] = {
            name: [dict(row._mapping) for row in connection.execute(text(query))]
            for name, query in READ.items()
        }
    engine.dispose()
    return {
        # A tombstone has no number, and no accounts.
        "effects": [{k: v for k, v in row.items() if v is not None} for row in read["effects"]],
        "letters": [
            row | {"partition": row["partition_number"], "offset": row["offset_number"]}
            for row in read["letters"]
        ],
        "positions": {
            (row["topic"], row["partition_number"]): int(row["next_offset"])
            for row in read["positions"]
        },
        "stock": {row["account"]: row["stock"] for row in read["stock"]},
    }
