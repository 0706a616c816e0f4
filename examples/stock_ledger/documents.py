"""The business document: what the topic carries, one message each.

Quantities are whole units and prices whole minor units (cents), so all arithmetic is exact.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Kind(StrEnum):
    """What a document does to the stock."""

    PURCHASE = "purchase"
    SALE = "sale"
    TRANSFER = "transfer"
    ADJUSTMENT = "adjustment"


class Line(BaseModel):
    """A quantity of one item at one price (cents a unit); negative only in an adjustment."""

    model_config = ConfigDict(frozen=True)

    item: str
    quantity: int
    price: Annotated[int, Field(ge=0)]


class BizDoc(BaseModel):
    """One document about the items of one product family.

    Items are named `family-number`: a document that mixes families is refused, because its rows
    could then reach a (store, item) from two partitions, in no certain order.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    kind: Kind
    family: str
    store: str
    to_store: str | None = None
    vendor: str | None = None
    lines: Annotated[tuple[Line, ...], Field(min_length=1)]
    at: datetime

    @property
    def key(self) -> bytes:
        """The message's key: what shares it, shares a partition and so an order."""
        return self.family.encode()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        transfer, purchase = self.kind is Kind.TRANSFER, self.kind is Kind.PURCHASE
        if transfer != (self.to_store is not None) or self.to_store == self.store:
            raise ValueError("a transfer, and only a transfer, names another store as to_store")
        if purchase != (self.vendor is not None):
            raise ValueError("a purchase, and only a purchase, names its vendor")
        for line in self.lines:
            if line.item.rpartition("-")[0] != self.family:
                raise ValueError(f"item {line.item!r} is not of the family {self.family!r}")
            if line.quantity == 0 or (line.quantity < 0 and self.kind is not Kind.ADJUSTMENT):
                raise ValueError(f"a {self.kind} cannot move {line.quantity} of {line.item!r}")
        return self
