"""Whether a side did its work: every message below its positions is there, once."""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from eoconsumer.cli.bench.task import Task


def miscounted(database: Database[dict[str, Any]], task: Task) -> str | None:
    """Return what is wrong in the collection ``ledger``, or None.

    The topic is the witness: message ``n`` has the offset ``n // partitions`` of partition
    ``n % partitions``.
    """
    found = _documents(database, task.partitions)
    stored = positions(database)
    for partition in range(task.partitions):
        below = stored.get(partition, 0)
        there = found.get(
            partition, {"documents": 0, "distinct": 0, "highest": partition - task.partitions}
        )
        highest = there["highest"] // task.partitions
        if (there["documents"], there["distinct"], highest) != (below, below, below - 1):
            return (
                f"the position of partition {partition} is {below}, but {there['distinct']} "
                f"messages are there in {there['documents']} documents, up to offset {highest}"
            )
    done = sum(stored.values())
    if done < task.messages:
        return f"{done} messages were committed, not {task.messages}"
    return None


def _documents(database: Database[dict[str, Any]], partitions: int) -> dict[int, dict[str, int]]:
    stages: list[dict[str, Any]] = [
        {"$group": {"_id": "$n", "times": {"$sum": 1}}},
        {
            "$group": {
                "_id": {"$mod": ["$_id", partitions]},
                "documents": {"$sum": "$times"},
                "distinct": {"$sum": 1},
                "highest": {"$max": "$_id"},
            }
        },
    ]
    found = database["ledger"].aggregate(stages, allowDiskUse=True)
    return {int(each["_id"]): each for each in found}


def positions(database: Database[dict[str, Any]]) -> dict[int, int]:
    """Return the positions that the side stored: by hand, or as the library does."""
    by_hand = {row["_id"]: row["next_offset"] for row in database["positions"].find()}
    rows = database["eoconsumer_offsets"].find({"next_offset": {"$exists": True}})
    return by_hand or {row["_id"]["partition"]: row["next_offset"] for row in rows}
