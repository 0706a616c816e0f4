"""The books of the stock ledger, whatever database keeps them, and the stages that follow it.

`ledger` and `payables` are written by the handler. `holdings` has for each (store, item) what each
of the two stages says: `stock` and `cost`. They are derived from `ledger` by `Books.catch_up` after
the handler's transaction, so a crash may come between. It does no harm:

- The stages never trust the messages in hand. They fold what they have not seen yet *from the
  ledger*, so a missed step is made up by the next one, and `rebuild` is the same step from the
  start. Derived values always follow the ledger, also where the ledger itself is wrong.
- `stages` keeps for each partition the offset that the stages read next. It moves in one
  transaction with the values, so no row is ever folded twice, not even by two workers at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

from .ledger import Entries, LedgerRow, PayableRow
from .stock import Derived

S = TypeVar("S")
"""The session that a database's driver hands to the handler."""

SPAN = 5_000  # offsets folded in one transaction: bounds it, and never cuts a document
BATCH = 10_000  # rows in one answer of the server


class Books(ABC, Generic[S]):
    """The ledger in one database."""

    @abstractmethod
    def setup(self) -> None:
        """Make what is not there yet; safe when many start at once."""

    @abstractmethod
    def write(self, entries: Iterable[Entries], session: S | None = None) -> None:
        """Store all rows of `entries`, in the session's transaction if it has one."""

    @abstractmethod
    def ledger_rows(self, topic: str, partition: int) -> Iterator[LedgerRow]:
        """Yield the ledger rows of a partition, by offset and line."""

    @abstractmethod
    def payable_rows(self, topic: str, partition: int) -> Iterator[PayableRow]:
        """Yield the payables of a partition, by offset."""

    @abstractmethod
    def derived(self) -> Derived:
        """Return what the stages made of the ledger so far."""

    @abstractmethod
    def partitions(self) -> Collection[int]:
        """Return the partitions of which the ledger or the stages have anything."""

    @abstractmethod
    def positions(self, topic: str, group: str) -> dict[int, int]:
        """Return the positions that eoconsumer keeps for `group`; empty where it keeps none."""

    @abstractmethod
    def catch_up(self, topic: str, partition: int, handled_from: int | None = None) -> None:
        """Fold into stock and cost what the stages have not seen of a partition.

        `handled_from` is the first offset that was just handled. If it is behind the stages, the
        message came again (at-least-once): its rows stand twice in the middle of what was folded,
        so the partition is folded anew.
        """

    @abstractmethod
    def take_over(self, topic: str, partition: int) -> None:
        """End what the last worker on a partition left open, before `catch_up`."""

    def rebuild(self, topic: str) -> int:
        """Recompute stock and cost from the ledger; return how many holdings came out different."""
        before = self.derived()
        for partition in sorted(self.partitions()):
            self.catch_up(topic, partition, handled_from=-1)
        return before.differing(self.derived())


class Span(NamedTuple):
    """What is folded in one step: the offsets from `first` up to `upto`.

    `anew`: after all that was folded of the partition has been forgotten.
    """

    first: int
    upto: int
    anew: bool
    more: bool

    @classmethod
    def after(cls, seen: int, last: int | None, handled_from: int | None) -> Span:
        """Return the step after the offsets below `seen`, in a ledger whose last offset is `last`.

        `handled_from` is that of `catch_up`.
        """
        anew = handled_from is not None and handled_from < seen
        first, end = 0 if anew else seen, 0 if last is None else last + 1
        upto = max(first, min(first + SPAN, end))
        return cls(first, upto, anew, more=upto < end)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return self.upto == self.first and not self.anew
