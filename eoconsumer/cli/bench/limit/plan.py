"""What `bench limit` measures, and how often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eoconsumer.errors import ConfigurationError

#: The contestants at full load, in the order of their turns.
SIDES = ("limit", "writes", "at-least-once", "batch", "handle", "one-by-one")
#: What else there is to measure.
PARTS = ("adaptive", "start", "latency", "memory")
#: Upper bounds of a batch that the adaptive size is held against; the first one is the default.
SIZES = ("adaptive", "500", "1000", "2500", "5000", "10000", "20000")


@dataclass(frozen=True, slots=True)
class Plan:
    """``pairs`` rounds are counted, after one that is not.

    ``messages`` are there for each side at full load; for the latency there are ``rate`` messages
    a second, for ``seconds`` on each side.
    """

    only: Sequence[str]
    pairs: int
    messages: int
    rate: int
    seconds: int

    @classmethod
    def checked(cls, only: str, pairs: int, messages: int, rate: int, seconds: int) -> Plan:
        """Return the plan of names with commas; ``ConfigurationError`` for an unknown one."""
        names = tuple(filter(None, map(str.strip, only.split(",")))) or (*SIDES, *PARTS)
        if unknown := set(names) - {*SIDES, *PARTS}:
            raise ConfigurationError(
                f"--only names {', '.join(sorted(unknown))}; nothing was measured. "
                f"There are: {', '.join((*SIDES, *PARTS))}."
            )
        return cls(names, pairs, messages, rate, seconds)

    @property
    def sides(self) -> Sequence[str]:
        """The contestants at full load."""
        return [name for name in SIDES if name in self.only]

    @property
    def needs_load(self) -> bool:
        """Whether anything works on messages that lie ready on a real broker."""
        return bool(self.sides or {"adaptive", "start"} & set(self.only))

    @property
    def runs(self) -> int:
        """How many runs there are in all."""
        turns = {"adaptive": len(SIZES), "start": 1, "latency": 2, "memory": 1}
        each = sum(number for name, number in turns.items() if name in self.only)
        return (len(self.sides) + each) * (self.pairs + 1)
