"""The consumer: a document's rows and its offset in one transaction, then the stages."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, TypeVar

from eoconsumer import Consumer, Message, Mode
from eoconsumer.protocols import Store

from .documents import BizDoc
from .ledger import Entries, Source, expand
from .opening import books_of
from .watch import Done, Watch

S = TypeVar("S")
"""The session that the store hands to the handler."""


class StockLedger(Consumer[S]):
    """Keeps the ledger; `mode` may be any of the three."""

    topics = ("stock-documents",)
    group = "stock-ledger"
    mode = Mode.EXACTLY_ONCE
    value_type = BizDoc

    def __init__(self, bootstrap_servers: str, store: Store[S], **settings: Any) -> None:
        """Consume from `bootstrap_servers` into `store`; `settings` are those of `Consumer`."""
        super().__init__(bootstrap_servers, store, **settings)
        self.books = books_of(store)

    def handle_batch(self, messages: Sequence[Message[BizDoc]], session: S) -> None:
        """Write all rows of all documents; with the session, so they join the transaction."""
        now = time.time_ns()
        self.write([expand(each.value, _source(each), now) for each in messages], session)

    def write(self, entries: list[Entries], session: S) -> None:
        """Store what the documents expanded into."""
        self.books.write(entries, session)

    def after_commit(self, messages: Sequence[Message[BizDoc]]) -> None:
        """Let current stock and weighted cost follow; what a crash misses here is made up later."""
        first: dict[tuple[str, int], int] = {}
        for each in messages:
            first.setdefault((each.topic, each.partition), each.offset)
        for (topic, partition), offset in first.items():
            self.books.catch_up(topic, partition, handled_from=offset)

    def on_assigned(self, partitions: Sequence[tuple[str, int]]) -> None:
        """Make up what the stages missed when the last owner of a partition died."""
        self.books.setup()
        for topic, partition in partitions:
            self.books.take_over(topic, partition)
            self.books.catch_up(topic, partition)


class WatchedStockLedger(StockLedger[S]):
    """The same under the eyes of the demo; it changes nothing in what is written, or how."""

    def __init__(
        self, bootstrap_servers: str, store: Store[S], watch: Watch, **settings: Any
    ) -> None:
        """Let `watch` see, and end, the work."""
        super().__init__(bootstrap_servers, store, **settings)
        self.watch = watch

    def on_assigned(self, partitions: Sequence[tuple[str, int]]) -> None:
        """Report that the work begins."""
        self.watch.assigned()
        super().on_assigned(partitions)

    def write(self, entries: list[Entries], session: S) -> None:
        """Store the rows, or die in the middle of them."""
        for piece in self.watch.pieces(entries):
            super().write(piece, session)

    def after_commit(self, messages: Sequence[Message[BizDoc]]) -> None:
        """Report what is done, or die; then go on to the stages."""
        self.watch.done(Done(_source(each), each.timestamp or 0) for each in messages)
        super().after_commit(messages)
        self.watch.followed(len(messages))


def _source(message: Message[BizDoc]) -> Source:
    return Source(message.topic, message.partition, message.offset)
