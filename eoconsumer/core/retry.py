"""How often and how long to wait: numbers only, no clock and no chance of its own."""

from __future__ import annotations

from dataclasses import dataclass

from eoconsumer.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Tries of one failing message (or of a reader) with exponential, jittered backoff.

    ``attempts`` counts all tries, the first one too. The wait before try ``n + 1`` is
    ``minimum * 2 ** (n - 1)`` seconds, at most ``maximum``, less up to ``jitter`` of itself.
    The default, 3 tries, waits under one second in all.
    """

    attempts: int = 3
    minimum: float = 0.2
    maximum: float = 5.0
    jitter: float = 0.5

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense with ``ConfigurationError``."""
        if self.attempts < 1 or not 0 <= self.minimum <= self.maximum or not 0 <= self.jitter <= 1:
            raise ConfigurationError(
                f"{self} makes no sense: attempts >= 1, 0 <= minimum <= maximum (seconds) and "
                "0 <= jitter <= 1 are needed. Nothing was consumed."
            )

    def delay(self, tries: int, chance: float) -> float:
        """Return the seconds to wait after ``tries`` failed tries; ``chance`` is from [0, 1)."""
        full = min(self.maximum, self.minimum * 2.0 ** min(tries - 1, 30))
        return full * (1 - self.jitter * chance)
