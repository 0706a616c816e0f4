"""Whether ledger, derived state and topic agree.

The topic is the witness: what it holds is expanded and folded again, and every row in the database
has to be there because of it, once. The consumer's own bookkeeping is not believed, only shown.
Run it while no worker is at work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Any

from .books import Books
from .documents import BizDoc
from .ledger import LedgerRow, PayableRow, Source, expand
from .stock import Derived
from .topic import TopicReader

Row = LedgerRow | PayableRow
_IDENTITY = ("line", "store", "item", "quantity", "price", "vendor", "amount")


@dataclass
class Report:
    """What was found; documents, unless it says rows. Every produced one is in one of the first
    three: applied (all its rows are there), torn (some are), lost (none is).
    """

    produced: int = 0
    applied: int = 0
    torn: int = 0
    lost: int = 0
    duplicated: int = 0
    out_of_order: int = 0
    unknown_rows: int = 0
    stock_correct: bool = False
    cost_correct: bool = False
    follows_ledger: bool = False
    ends: dict[int, int] = field(default_factory=dict)
    positions: dict[int, int] = field(default_factory=dict)

    @property
    def agree(self) -> bool:
        """Whether there is nothing to complain about."""
        wrong = self.produced - self.applied + self.duplicated + self.out_of_order
        derived = self.stock_correct and self.cost_correct and self.follows_ledger
        return not (wrong or self.unknown_rows) and derived

    def figures(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return asdict(self) | {"agree": self.agree}

    def __str__(self) -> str:
        """Say it to a human, one line for each thing that has to agree."""
        right = {True: "right", False: "WRONG"}
        follows = "follow the ledger" if self.follows_ledger else "LAG the ledger: run rebuild"
        reached = ", ".join(
            f"{partition}: {self.positions.get(partition, '-')} of {end}"
            for partition, end in self.ends.items()
        )
        return "\n".join(
            (
                f"topic      {self.produced} documents produced",
                f"ledger     {self.applied} applied, {self.lost} lost, {self.torn} torn, "
                f"{self.duplicated} duplicated, {self.out_of_order} out of order, "
                f"{self.unknown_rows} unknown rows",
                f"stock      {right[self.stock_correct]}",
                f"cost       {right[self.cost_correct]}",
                f"stages     {follows}",
                f"positions  {reached}",
                "all agree" if self.agree else "they do NOT agree",
            )
        )


def check(books: Books[Any], bootstrap: str, topic: str, group: str) -> Report:
    """Compare what `topic` holds with what the database holds.

    Raises `KafkaException` when the topic cannot be read, and `ValueError` for a message that is
    no `BizDoc`. `group` only chooses the positions that are shown.
    """
    report, produced, stored = Report(), Derived(), Derived()
    with TopicReader(bootstrap, topic) as reader:
        report.ends = reader.ends()
        for partition in report.ends:
            handled_at = 0
            for source, document, rows in _joined(books, reader, topic, partition):
                stored.add(row for row in rows if "item" in row)
                if document is None:
                    report.unknown_rows += len(rows)
                    continue
                expected = expand(document, source, handled_at=0)
                produced.add(expected.ledger)
                _judge(report, [*expected.ledger, *expected.payables], rows)
                if rows:
                    first = min(row["handled_at"] for row in rows)
                    report.out_of_order += first < handled_at
                    handled_at = first
    derived = books.derived()
    report.stock_correct = derived.stock == produced.stock
    report.cost_correct = derived.cost == produced.cost
    report.follows_ledger = derived == stored
    report.positions = books.positions(topic, group)
    return report


def _judge(report: Report, expected: list[Row], rows: list[Row]) -> None:
    wanted, found = _identities(expected), _identities(rows)
    known = Counter({identity: found[identity] for identity in wanted})
    report.produced += 1
    report.unknown_rows += (found - known).total()
    report.duplicated += any(times > 1 for times in known.values())
    if wanted <= known:
        report.applied += 1
    elif known.total():
        report.torn += 1
    else:
        report.lost += 1


def _identities(rows: Iterable[Row]) -> Counter[tuple[object, ...]]:
    return Counter(tuple(row.get(name) for name in _IDENTITY) for row in rows)


def _joined(
    books: Books[Any], reader: TopicReader, topic: str, partition: int
) -> Iterator[tuple[Source, BizDoc | None, list[Row]]]:
    """Yield, offset by offset, the document that was produced (if any) and all rows stored."""
    documents: Iterator[tuple[int, Any]] = (
        (message.offset() or 0, BizDoc.model_validate_json(message.value() or b""))
        for message in reader.messages(partition)
    )
    ledger = ((row["offset"], row) for row in books.ledger_rows(topic, partition))
    payables = ((row["offset"], row) for row in books.payable_rows(topic, partition))
    merged = merge(documents, ledger, payables, key=itemgetter(0))
    for offset, group in groupby(merged, key=itemgetter(0)):
        items = [item for _, item in group]
        document = items.pop(0) if isinstance(items[0], BizDoc) else None
        yield Source(topic, partition, offset), document, items
