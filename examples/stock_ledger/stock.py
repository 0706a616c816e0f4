"""The two derived values of a (store, item), each a fold of its ledger rows: pure.

A fold goes over the rows in the order of (offset, line); all rows of one (store, item) are in one
partition, so that order is total. The stages after the commit and `rebuild` use the same fold, so
they reach the same values. All values are integers.

The moving weighted cost, in cents:

- Goods that come in add their price to the value of the stock.
- Goods that go out take their share of the value: the average stays, rounded down to a cent of
  the whole value; the last unit takes what is left.
- Stock that was sold short counts at the last average, and the next goods that come in restate it
  at their price.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol, Self, TypeVar

from .ledger import LedgerRow

Key = tuple[str, str]
"""A store and an item."""


class Derived(Protocol):
    """The state of one stage for one (store, item)."""

    def after(self, row: LedgerRow) -> Self:
        """Return the state after one more row."""

    def _asdict(self) -> dict[str, int]: ...


class Stock(NamedTuple):
    """How much of an item a store has (units)."""

    quantity: int = 0

    def after(self, row: LedgerRow) -> Stock:
        """Return the stock after one more row."""
        return Stock(self.quantity + row["quantity"])


class Cost(NamedTuple):
    """What the stock is worth (cents), and the moving weighted average (cents a unit)."""

    quantity: int = 0
    value: int = 0
    average: int = 0

    def after(self, row: LedgerRow) -> Cost:
        """Return the cost after one more row."""
        moved, price = row["quantity"], row["price"]
        quantity = self.quantity + moved
        if moved > 0 and self.quantity > 0:
            value = self.value + moved * price
        elif moved > 0:
            value = quantity * price
        elif self.quantity:
            value = self.value * quantity // self.quantity
        else:
            value = quantity * self.average
        return Cost(quantity, value, value // quantity if quantity else self.average)


D = TypeVar("D", bound=Derived)


def fold(start: D, rows: Iterable[LedgerRow], states: dict[Key, D] | None = None) -> dict[Key, D]:
    """Fold `rows`, in the order given, into `states` (new ones begin at `start`); return them."""
    states = {} if states is None else states
    for row in rows:
        key = (row["store"], row["item"])
        states[key] = states.get(key, start).after(row)
    return states
