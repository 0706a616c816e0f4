"""How a SQL database was asked: from the statements that the workers sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

ADVANCE = "eoconsumer_offsets advance"
OURS = "eoconsumer_"
#: What the handler and the store write; each belongs into the transaction of the position.
TOGETHER = {"effects", "counters", "stock", "eoconsumer_dead_letters", ADVANCE}
#: With these a commit is answered when it is on the disk.
DURABLE = {
    "postgresql": {"on", "remote_write", "remote_apply"},
    "mysql": {"1"},
    "mariadb": {"1"},
    "sqlite": {"2", "3"},
}
COMMANDS = ("transaction", "write", "durability")


def wrong_statement(shape: dict[str, Any], *, exactly: bool) -> Iterator[str]:
    """Tell what is wrong with a transaction, a write outside of one, or a setting."""
    if shape["command"] == "durability":
        if shape["value"] not in DURABLE[shape["dialect"]]:
            yield "a commit does not wait for the disk"
    elif not exactly:
        return
    elif shape["command"] == "write":
        if TOGETHER & set(shape["writes"]):
            yield "written outside of a transaction"
    else:
        yield from _wrong_transaction(shape["writes"])


def _wrong_transaction(writes: list[str]) -> Iterator[str]:
    # Behind the position only the store writes, to tables of its own.
    if not TOGETHER & set(writes):
        return
    handlers = [write for write in writes if not write.startswith(OURS)]
    until = writes.index(ADVANCE) if ADVANCE in writes else -1
    if until < len(handlers):
        yield "the position is not written in the transaction, behind what the handler writes"
