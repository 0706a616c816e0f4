"""What `bench modes` does to which variants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eoconsumer.cli.demo.plan import KILLS
from eoconsumer.errors import ConfigurationError

#: As the example ``mode_comparison`` calls them.
VARIANTS = (
    "auto-commit",
    "at-most-once",
    "at-least-once",
    "exactly-once-handle",
    "exactly-once-batch",
    "exactly-once-writes",
)
PARTITIONS = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """``documents`` of one ``seed`` for each run; ``rounds`` are counted, after one that is not.

    ``rates`` are documents a second, each kept up for ``seconds``.
    """

    only: Sequence[str]
    documents: int
    seed: int
    rounds: int
    rates: Sequence[int]
    seconds: int

    @classmethod
    def checked(
        cls, only: str, documents: int, seed: int, rounds: int, rates: str, seconds: int
    ) -> Plan:
        """Return the plan; ``ConfigurationError`` for an unknown variant, or a rate that is none.

        Names and rates come with commas.
        """
        names = tuple(filter(None, map(str.strip, only.split(",")))) or VARIANTS
        if unknown := set(names) - {*VARIANTS}:
            raise ConfigurationError(
                f"--only names {', '.join(sorted(unknown))}; nothing was measured. "
                f"There are: {', '.join(VARIANTS)}."
            )
        words = list(filter(None, map(str.strip, rates.split(","))))
        if not all(word.isdecimal() and int(word) for word in words):
            raise ConfigurationError(
                f"--rates {rates}: documents a second are needed, as 100,500. Nothing was measured."
            )
        return cls(names, documents, seed, rounds, tuple(map(int, words)), seconds)

    @property
    def runs(self) -> int:
        """How many runs there are in all."""
        return len(self.only) * (1 + (self.rounds + 1) + len(self.rates))

    @property
    def crashes(self) -> list[str]:
        """Where workers die, as the example wants it: all in the first partition, one by one."""
        share = self.documents / PARTITIONS
        return [f"0:{int(part * share)}:{where}" for part, where in KILLS]
