"""How the database was asked: from the commands and statements that the workers sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.chaos.checker.evidence import EXACTLY_ONCE, Evidence
from tests.chaos.checker.statements import COMMANDS, wrong_statement

OFFSETS = "eoconsumer_offsets"
ADVANCE = f"{OFFSETS} advance"
OURS = "eoconsumer_"
#: What the handler and the store write; each belongs into the transaction of the position.
TOGETHER = {"effects", "counters", "stock", "eoconsumer_dead_letters"}
READS = ("find", "aggregate")


def check_concerns(evidence: Evidence) -> list[str]:
    """Majority, snapshot and primary everywhere; the position in the transaction, and last."""
    exactly = evidence.mode == EXACTLY_ONCE
    return sorted(
        {
            f"{wrong}: {line['shape']}"
            for line in evidence.said
            if line["said"] == "command"
            for wrong in _wrong(line["shape"], exactly=exactly)
        }
    )


def _wrong(shape: dict[str, Any], *, exactly: bool) -> Iterator[str]:
    if shape["command"] in COMMANDS:
        yield from wrong_statement(shape, exactly=exactly)
        return
    if shape["command"] == "commitTransaction":
        yield from _wrong_commit(shape)
        return
    if shape["preference"] != "primary":
        yield "not from the primary"
    if shape["transaction"]:
        return
    if shape["command"] in READS:
        if shape["collection"] == OFFSETS and shape["read"] != "majority":
            yield "positions were not read from the majority"
        return
    if (shape["write"] or {}).get("w") != "majority":
        yield "not written to the majority"
    if exactly and (shape["collection"] in TOGETHER or "advance" in shape["what"]):
        yield "written outside of a transaction"


def _wrong_commit(shape: dict[str, Any]) -> Iterator[str]:
    if (shape["commit"] or {}).get("w") != "majority":
        yield "not committed to the majority"
    if "first" not in shape:
        return
    if shape["first"]["read"] != "snapshot":
        yield "the transaction reads no snapshot"
    # Behind the position only the store writes, to collections of its own.
    handlers = [write for write in shape["writes"] if not write.startswith(OURS)]
    until = shape["writes"].index(ADVANCE) if ADVANCE in shape["writes"] else -1
    if until < len(handlers):
        yield "the position is not written in the transaction, behind what the handler writes"
