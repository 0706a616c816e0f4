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
from dataclasses import dataclass, field
from typing import NamedTuple

from .ledger import LedgerRow

Key = tuple[str, str]
"""A store and an item."""


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


@dataclass
class Derived:
    """What both stages know: the stock and the cost of each (store, item)."""

    stock: dict[Key, Stock] = field(default_factory=dict)
    cost: dict[Key, Cost] = field(default_factory=dict)

    def add(self, rows: Iterable[LedgerRow]) -> None:
        """Fold `rows` in, in the order given."""
        for row in rows:
            key = (row["store"], row["item"])
            self.stock[key] = self.stock.get(key, Stock()).after(row)
            self.cost[key] = self.cost.get(key, Cost()).after(row)

    def differing(self, other: Derived) -> int:
        """Return how many (store, item) have another stock or cost in `other`, or none."""
        return sum(
            self.stock.get(key) != other.stock.get(key) or self.cost.get(key) != other.cost.get(key)
            for key in self.stock.keys() | other.stock.keys()
        )
