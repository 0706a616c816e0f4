"""The app under test on SQL: the same transfers as in ``tests/chaos/app.py``, in three tables."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.orm import Session

from eoconsumer import Consumer, Message
from tests.chaos.app import effect, moved_by
from tests.chaos.sql.tables import counters, effects, stock

#: What a tombstone does not have.
NOTHING = dict.fromkeys(("seq", "source", "target"))
MOVE = (
    update(stock)
    .where(stock.c.account == bindparam("named"))
    .values(stock=stock.c.stock + bindparam("moved"))
)


class Transfers(Consumer):
    """What the two forms share."""

    at: Callable[[str], None]
    ended: threading.Event

    def stop(self) -> None:
        self.ended.set()  # SIGTERM: do not join again
        super().stop()

    def apply(self, messages: Sequence[Message], session: Session) -> None:
        """Write the effects of consecutive messages of one partition; refuse a bad one."""
        self.at("handling")
        rows: list[dict[str, Any]] = [NOTHING | effect(message) for message in messages]
        mine = counters.c.partition == messages[0].partition
        session.execute(update(counters).where(mine).values(n=counters.c.n + len(rows)))
        count = session.execute(select(counters.c.n).where(mine)).scalar_one()
        for n, row in enumerate(rows, count - len(rows)):
            row["n"] = n
        session.execute(insert(effects), rows)
        self.at("written")
        moves = [{"named": account, "moved": n} for account, n in moved_by(rows)]
        if moves:
            # On the connection: a session takes an UPDATE with many parameters for its objects'.
            session.connection().execute(MOVE, moves)


class Each(Transfers):
    """Message by message."""

    def handle(self, message: Message, session: Session) -> None:
        self.apply([message], session)


class Runs(Transfers):
    """A run at a time."""

    def handle_batch(self, messages: Sequence[Message], session: Session) -> None:
        self.apply(messages, session)
