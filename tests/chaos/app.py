"""The app under test: transfers of stock between two accounts, as a user would write it.

One row in ``effects`` for each message, numbered within its partition by a counter that is moved
in the same transaction; and the stock of both accounts, whose sum never changes.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from pymongo import ReturnDocument, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.database import Database

from eoconsumer import Consumer, Message

#: Passes a named point, at which the worker may be told to die.
At = Callable[[str], None]
#: Writes the effects of consecutive messages of one partition, in a session of the database.
Apply = Callable[[Sequence[Message], Any], None]


class Transfers(Consumer):
    """What the two forms share; what they write is told by the worker."""

    apply: Apply
    ended: threading.Event

    def stop(self) -> None:
        self.ended.set()  # SIGTERM: do not join again
        super().stop()


class Each(Transfers):
    """Message by message."""

    def handle(self, message: Message, session: Any) -> None:
        self.apply([message], session)


class Runs(Transfers):
    """A run at a time."""

    def handle_batch(self, messages: Sequence[Message], session: Any) -> None:
        self.apply(messages, session)


FORMS: dict[str, type[Transfers]] = {"each": Each, "runs": Runs}


def transfer(
    database: Database[dict[str, Any]], at: At, messages: Sequence[Message], session: ClientSession
) -> None:
    """Write the effects of consecutive messages of one partition; refuse a bad one."""
    at("handling")
    rows = [effect(message) for message in messages]
    count = database["counters"].find_one_and_update(
        {"_id": f"{messages[0].topic}-{messages[0].partition}"},
        {"$inc": {"n": len(rows)}},
        upsert=True,
        return_document=ReturnDocument.AFTER,
        session=session,
    )
    for n, row in enumerate(rows, count["n"] - len(rows)):
        row["n"] = n
    database["effects"].insert_many(rows, session=session)
    at("written")
    writes = [UpdateOne({"_id": account}, {"$inc": {"stock": n}}) for account, n in moved_by(rows)]
    if writes:
        database["stock"].bulk_write(writes, session=session)


def moved_by(rows: Sequence[dict[str, Any]]) -> list[tuple[str, int]]:
    """Return how much stock comes to each account, or leaves it, by ``rows``."""
    moved: Counter[str] = Counter()
    for row in rows:
        if row["quantity"]:
            moved[row["source"]] -= row["quantity"]
            moved[row["target"]] += row["quantity"]
    return sorted(moved.items())


def effect(message: Message) -> dict[str, Any]:
    """Return the row of a message, without its number; raise ``ValueError`` for poison."""
    row: dict[str, Any] = {
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "key": (message.raw_key or b"").decode(),
        "quantity": 0,
        "handled_at": time.monotonic(),
    }
    if message.value is None:
        return row
    transfer = json.loads(message.value)
    if transfer["quantity"] < 0:
        raise ValueError(f"a transfer of {transfer['quantity']}")
    return row | {name: transfer[name] for name in ("seq", "source", "target", "quantity")}
