"""Do the effects stand in the order of the topic, and does the stock add up?"""

from __future__ import annotations

from collections import Counter, defaultdict

from tests.chaos.checker.effects import by_place
from tests.chaos.checker.evidence import EXACTLY_ONCE, Evidence


def check_order(evidence: Evidence) -> list[str]:
    """The number that a row got in its transaction is the rank of its offset; keys follow suit.

    Only exactly-once promises it of numbers that are counted in the database.
    """
    if evidence.mode != EXACTLY_ONCE:
        return []
    found = []
    for (topic, partition), rows in by_place(evidence.effects).items():
        where = f"{topic} [{partition}]"
        for rank, row in enumerate(sorted(rows, key=lambda row: row["offset"])):
            if row["n"] != rank:
                number = row["n"]
                found.append(f"{where} @ {row['offset']} is number {number}, and comes as {rank}")
                break
        last: dict[str, int] = defaultdict(int)
        for row in sorted(rows, key=lambda row: row["n"]):
            if (seq := row.get("seq")) is None:
                continue
            if seq <= last[row["key"]]:
                found.append(f"{where}: {row['key']} number {seq} came after {last[row['key']]}")
            last[row["key"]] = seq
    return found


def check_stock(evidence: Evidence) -> list[str]:
    """The sum is what it was, and each account is what its transfers make of it."""
    if evidence.mode != EXACTLY_ONCE:
        return []
    wanted = Counter(evidence.initial_stock)
    for row in evidence.effects:
        if row["quantity"]:
            wanted[row["source"]] -= row["quantity"]
            wanted[row["target"]] += row["quantity"]
    found = [
        f"{account} has {evidence.stock.get(account)}, and its transfers make {wanted[account]}"
        for account in sorted(wanted.keys() | evidence.stock.keys())
        if evidence.stock.get(account) != wanted[account]
    ]
    before, after = sum(evidence.initial_stock.values()), sum(evidence.stock.values())
    if before != after:
        found.append(f"all stock was {before}, and is {after}")
    return found
