"""The three forms of a handler, doing the same: all rows of each document, with its offset.

`watch` is there to see the work and to end it at chosen places; a user would leave it out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from pymongo import InsertOne
from pymongo.client_session import ClientSession
from stock_ledger.books_mongo import MongoBooks
from stock_ledger.documents import BizDoc
from stock_ledger.ledger import Entries, Source, expand
from stock_ledger.watch import Done, Watch

from eoconsumer import Consumer, Message
from eoconsumer.stores.mongo import MongoStore


class LedgerOnly(MongoBooks):
    """The ledger without the stages that follow it."""

    def take_over(self, topic: str, partition: int) -> None:
        """Nothing follows that a dead worker could have left open."""

    def catch_up(self, topic: str, partition: int, handled_from: int | None = None) -> None:
        """Nothing follows."""


class Watched(Consumer):
    """What all forms have in common."""

    value_type = BizDoc

    def __init__(
        self, bootstrap_servers: str, store: MongoStore, watch: Watch, **settings: Any
    ) -> None:
        """Consume from `bootstrap_servers` into `store`; `settings` are those of `Consumer`."""
        super().__init__(bootstrap_servers, store, **settings)
        self.database = store.database
        self.books = LedgerOnly(store.database)
        self.watch = watch

    def write(self, entries: Sequence[Entries], session: ClientSession) -> None:
        """Write at once, or up to where the process has to die."""
        for piece in self.watch.pieces(entries):
            self.books.write(piece, session)

    def on_assigned(self, partitions: Sequence[tuple[str, int]]) -> None:  # noqa: ARG002 - a hook
        """Report that the work begins."""
        self.watch.assigned()

    def after_commit(self, messages: Sequence[Message[BizDoc]]) -> None:
        """Report what is done."""
        self.watch.done(Done(source(each), each.timestamp or 0) for each in messages)


class OneMessage(Watched):
    """One message at a time; the library puts many into one transaction."""

    def handle(self, message: Message[BizDoc], session: ClientSession) -> None:
        """Write the rows of one document."""
        self.write([rows(message)], session)


class Batch(Watched):
    """The consecutive messages of one partition."""

    def handle_batch(self, messages: Sequence[Message[BizDoc]], session: ClientSession) -> None:
        """Write the rows of many documents."""
        self.write([rows(each) for each in messages], session)


class Writes(Watched):
    """One message at a time, and the writes as values: nothing is touched in here."""

    def writes(self, message: Message[BizDoc]) -> Iterator[InsertOne[Any]]:
        """Yield the rows of one document."""
        shop = self.database.name
        for piece in self.watch.pieces([rows(message)]):
            for entries in piece:
                for row in entries.ledger:
                    yield InsertOne(row, namespace=f"{shop}.ledger")
                for payable in entries.payables:
                    yield InsertOne(payable, namespace=f"{shop}.payables")


def rows(message: Message[BizDoc]) -> Entries:
    """Return all rows of a document."""
    return expand(message.value, source(message), time.time_ns())


def source(message: Message[BizDoc]) -> Source:
    """Return where a document came from."""
    return Source(message.topic, message.partition, message.offset)
