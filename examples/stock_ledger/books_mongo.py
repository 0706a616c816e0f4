"""The books in the collections of a MongoDB database, one for each of the names in `books`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, cast
from uuid import uuid4

from pymongo import ASCENDING, DESCENDING, MongoClient, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from .books import BATCH, Books, Span
from .ledger import Entries, LedgerRow, PayableRow, together
from .stock import Cost, Derived, Stock

Document = dict[str, Any]
_MAJORITY = WriteConcern("majority")


def connect(url: str) -> Database[Document]:
    """Return the database that `url` names; pymongo's `ConfigurationError` if it names none."""
    client: MongoClient[Document] = MongoClient(url, tz_aware=True)
    return client.get_default_database()


class MongoBooks(Books[ClientSession]):
    """The ledger's collections in one database."""

    def __init__(self, database: Database[Document]) -> None:
        """Use `database`, with majority reads from the primary and majority writes."""
        self._database = database.with_options(
            read_concern=ReadConcern("majority"),
            write_concern=_MAJORITY,
            read_preference=ReadPreference.PRIMARY,
        )
        self.ledger = cast(Collection[LedgerRow], self._database["ledger"])
        self.payables = cast(Collection[PayableRow], self._database["payables"])
        self.holdings = self._database["holdings"]
        # Which session works on a partition's stages: a hint, so no write of it waits for others.
        self._sessions = self._database["stage_sessions"].with_options(write_concern=WriteConcern())
        self._worker = uuid4().hex

    def setup(self) -> None:
        """Create the indexes; safe when many start at once. None is unique: see `ledger`."""
        partition = [("topic", ASCENDING), ("partition", ASCENDING)]
        for rows in ("ledger", "payables"):
            order = [*partition, ("offset", ASCENDING), ("line", ASCENDING)]
            self._database[rows].create_index(order)
        self.holdings.create_index(partition)

    def write(self, entries: Iterable[Entries], session: ClientSession | None = None) -> None:
        """Store all rows of `entries`, in the session's transaction if it has one."""
        ledger, payables = together(entries)
        if ledger:
            self.ledger.insert_many(ledger, session=session)
        if payables:
            self.payables.insert_many(payables, session=session)

    def ledger_rows(self, topic: str, partition: int) -> Iterator[LedgerRow]:
        """Yield the ledger rows of a partition, by offset and line."""
        return _in_order(self.ledger, {"topic": topic, "partition": partition})

    def payable_rows(self, topic: str, partition: int) -> Iterator[PayableRow]:
        """Yield the payables of a partition, by offset."""
        return _in_order(self.payables, {"topic": topic, "partition": partition})

    def derived(self) -> Derived:
        """Return what the stages made of the ledger so far."""
        return _read(self.holdings.find())

    def partitions(self) -> set[int]:
        """Return the partitions of which there is anything."""
        known = (rows.distinct("partition") for rows in (self.ledger, self.holdings))
        return set().union(*known)

    def positions(self, topic: str, group: str) -> dict[int, int]:
        """Return the positions that eoconsumer keeps for `group`; empty where it keeps none."""
        wanted = {"_id.group": group, "_id.topic": topic, "next_offset": {"$exists": True}}
        found = self._database["eoconsumer_offsets"].find(wanted)
        return {row["_id"]["partition"]: row["next_offset"] for row in found}

    def catch_up(self, topic: str, partition: int, handled_from: int | None = None) -> None:
        """Fold what the stages have not seen of a partition; see `Books`."""
        place = {"_id": f"{topic}/{partition}"}
        step = partial(self._step, topic=topic, partition=partition)
        with self._database.client.start_session() as session:
            mine = {"worker": self._worker, "lsid": session.session_id}
            self._sessions.update_one(place, {"$set": mine}, upsert=True)
            self._database["stages"].update_one(
                place, {"$setOnInsert": {"next_offset": 0}}, upsert=True
            )
            run = partial(
                session.with_transaction,
                read_concern=ReadConcern("snapshot"),
                write_concern=_MAJORITY,
            )
            more = run(partial(step, handled_from=handled_from))
            while more:
                more = run(step)

    def take_over(self, topic: str, partition: int) -> None:
        """End what the last worker on a partition left open, before `catch_up`.

        The server keeps the transaction of a killed worker open for a minute, and for so long
        nobody else could fold this partition.
        """
        last = self._sessions.find_one({"_id": f"{topic}/{partition}"})
        if last and last["worker"] != self._worker:
            self._database.client.admin.command("killSessions", [last["lsid"]])

    def _step(
        self, session: ClientSession, topic: str, partition: int, handled_from: int | None = None
    ) -> bool:
        """Fold the next span of offsets; return whether there is more."""
        where = {"topic": topic, "partition": partition}
        stages, place = self._database["stages"], {"_id": f"{topic}/{partition}"}
        found = stages.find_one(place, session=session)
        seen = found["next_offset"] if found else 0
        last = self.ledger.find_one(where, sort=[("offset", DESCENDING)], session=session)
        span = Span.after(seen, last["offset"] if last else None, handled_from)
        if span.empty:
            return False
        if span.anew:
            self.holdings.delete_many(where, session=session)
        stages.update_one(place, {"$set": {"next_offset": span.upto}}, session=session)
        offsets = {"offset": {"$gte": span.first, "$lt": span.upto}}
        self._fold(list(_in_order(self.ledger, where | offsets, session)), where, session)
        return span.more

    def _fold(self, rows: list[LedgerRow], where: Document, session: ClientSession) -> None:
        touched = list({f"{row['store']}/{row['item']}" for row in rows})
        stored = self.holdings.find(
            {"_id": {"$in": touched}}, session=session, batch_size=len(touched) + 1
        )
        derived = _read(stored)
        derived.add(rows)
        writes = [
            UpdateOne(
                {"_id": f"{store}/{item}"},
                {
                    "$set": {
                        "store": store,
                        "item": item,
                        **where,
                        "stock": derived.stock[store, item]._asdict(),
                        "cost": derived.cost[store, item]._asdict(),
                    }
                },
                upsert=True,
            )
            for store, item in derived.stock
        ]
        if writes:
            self.holdings.bulk_write(writes, session=session)


def _read(holdings: Iterable[Document]) -> Derived:
    derived = Derived()
    for found in holdings:
        key = (found["store"], found["item"])
        derived.stock[key] = Stock(**found["stock"])
        derived.cost[key] = Cost(**found["cost"])
    return derived


def _in_order(
    rows: Collection[Any], wanted: Document, session: ClientSession | None = None
) -> Iterator[Any]:
    order = [(name, ASCENDING) for name in ("topic", "partition", "offset", "line")]
    yield from rows.find(wanted, session=session, batch_size=BATCH).sort(order)
