"""What holds the writes that handlers returned, until they are sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable


class Buffer(Protocol):
    """Writes in order, as in a list; a store may know a form that takes less."""

    def extend(self, writes: Sequence[Any], /) -> None:
        """Hold ``writes`` behind what is here."""

    def __len__(self) -> int:
        """Count the writes."""

    def __getitem__(self, part: slice, /) -> Sequence[Any]:
        """Return some of them."""


@runtime_checkable
class Buffering(Protocol):
    """What a session, of either kind, may have beyond its contract; else lists are used."""

    def buffer(self) -> Buffer:
        """Return an empty buffer; ``Scope.write`` gets it back, and must take a list as well."""
