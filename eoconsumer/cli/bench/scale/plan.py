"""Which axes `bench scale` measures, and at which places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eoconsumer.errors import ConfigurationError

AXES = ("partitions", "workers", "batch", "size", "lag")


@dataclass(frozen=True, slots=True)
class Plan:
    """``axes`` with their places; ``messages`` of 200 bytes, or as many bytes, for each run.

    ``rounds`` are counted, after one that is not.
    """

    axes: Mapping[str, Sequence[int]]
    messages: int
    rounds: int

    @classmethod
    def checked(cls, only: str, places: Mapping[str, str], messages: int, rounds: int) -> Plan:
        """Return the plan of axes and ``places`` with commas.

        Raises ``ConfigurationError`` for an unknown axis, and for a place that is no number.
        """
        names = tuple(filter(None, map(str.strip, only.split(",")))) or AXES
        if unknown := set(names) - set(AXES):
            raise ConfigurationError(
                f"--only names {', '.join(sorted(unknown))}; nothing was measured. "
                f"There are: {', '.join(AXES)}."
            )
        return cls({name: _numbers(name, places[name]) for name in names}, messages, rounds)

    @property
    def runs(self) -> int:
        """How many runs there are in all."""
        return sum(map(len, self.axes.values())) * (self.rounds + 1)


def _numbers(axis: str, text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")]
    least = 0 if axis == "lag" else 1
    if not all(word.isdecimal() and int(word) >= least for word in words):
        raise ConfigurationError(
            f"--{axis} {text}: numbers of {least} and more are needed, with commas. Nothing was "
            "measured."
        )
    return tuple(map(int, words))
