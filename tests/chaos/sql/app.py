"""What the app under test writes on SQL: the transfers of ``tests/chaos/app.py``, in tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.orm import Session

from eoconsumer import Message
from tests.chaos.app import At, effect, moved_by
from tests.chaos.sql.tables import counters, effects, stock

#: What a tombstone does not have.
NOTHING = dict.fromkeys(("seq", "source", "target"))
MOVE = (
    update(stock)
    .where(stock.c.account == bindparam("named"))
    .values(stock=stock.c.stock + bindparam("moved"))
)


def transfer(at: At, messages: Sequence[Message], session: Session) -> None:
    """Write the effects of consecutive messages of one partition; refuse a bad one."""
    at("handling")
    rows: list[dict[str, Any]] = [NOTHING | effect(message) for message in messages]
    mine = counters.c.partition == messages[0].partition
    session.execute(update(counters).where(mine).values(n=counters.c.n + len(rows)))
    count = session.execute(select(counters.c.n).where(mine)).scalar_one()
    for n, row in enumerate(rows, count - len(rows)):
        row["n"] = n
    session.execute(insert(effects), rows)
    at("written")
    moves = [{"named": account, "moved": n} for account, n in moved_by(rows)]
    if moves:
        # On the connection: a session takes an UPDATE with many parameters for its objects'.
        session.connection().execute(MOVE, moves)
