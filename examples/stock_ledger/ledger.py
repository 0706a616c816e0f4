"""From a document to the rows that it writes: pure, the same rows every time.

Every row names the message it came from (topic, partition, offset) and its line. No unique index
guards them: a row that is stored twice must be *seen* twice, by `check` and by the demo.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple, TypedDict, final

from .documents import BizDoc, Kind

_SIGN = {Kind.PURCHASE: 1, Kind.SALE: -1, Kind.TRANSFER: -1, Kind.ADJUSTMENT: 1}


class Source(NamedTuple):
    """The message that a document came in."""

    topic: str
    partition: int
    offset: int


@final
class LedgerRow(TypedDict):
    """One movement of one item in one store: signed quantity (units), price (cents a unit)."""

    topic: str
    partition: int
    offset: int
    line: int
    document: str
    kind: str
    store: str
    item: str
    quantity: int
    price: int
    at: datetime
    handled_at: int


@final
class PayableRow(TypedDict):
    """What a purchase owes to its vendor (cents)."""

    topic: str
    partition: int
    offset: int
    line: int
    document: str
    vendor: str
    amount: int
    at: datetime
    handled_at: int


class Entries(NamedTuple):
    """All that one document writes: all of it is stored or none."""

    ledger: list[LedgerRow]
    payables: list[PayableRow]


def together(entries: Iterable[Entries]) -> Entries:
    """Return the rows of several documents, in order."""
    all_of = Entries([], [])
    for entry in entries:
        all_of.ledger.extend(entry.ledger)
        all_of.payables.extend(entry.payables)
    return all_of


def expand(document: BizDoc, source: Source, handled_at: int) -> Entries:
    """Expand `document` into its rows; `handled_at` is in nanoseconds since 1970.

    A transfer writes two rows for a line, out of `store` and into `to_store`, at the document's
    price: the cost travels in the document, so no store's cost depends on another's.
    """
    moves = [
        (store, line, sign * line.quantity)
        for line in document.lines
        for store, sign in (
            (document.store, _SIGN[document.kind]),
            *([(document.to_store, 1)] if document.to_store else []),
        )
    ]
    ledger = [
        LedgerRow(
            topic=source.topic,
            partition=source.partition,
            offset=source.offset,
            line=number,
            document=document.id,
            kind=document.kind.value,
            store=store,
            item=line.item,
            quantity=quantity,
            price=line.price,
            at=document.at,
            handled_at=handled_at,
        )
        for number, (store, line, quantity) in enumerate(moves)
    ]
    if document.vendor is None:
        return Entries(ledger, [])
    payable = PayableRow(
        topic=source.topic,
        partition=source.partition,
        offset=source.offset,
        line=len(ledger),
        document=document.id,
        vendor=document.vendor,
        amount=sum(line.quantity * line.price for line in document.lines),
        at=document.at,
        handled_at=handled_at,
    )
    return Entries(ledger, [payable])
