"""How much work there is in the demo, and where the workers die."""

from __future__ import annotations

from dataclasses import dataclass

MODES = ("auto_commit", "at_most_once", "at_least_once", "exactly_once")
TOPIC = "documents"
PARTITIONS = 2
#: Where the worker dies: at which part of the first partition's share, and where in the work.
KILLS = ((0.13, "in-handler"), (0.5, "after-commit"), (0.87, "in-handler"))
#: A killed member holds its partitions no longer than it takes to start the next process.
SESSION = ("--kafka", "session.timeout.ms=1500", "--kafka", "heartbeat.interval.ms=300")
#: Kafka's own default is 5,000 ms: the same fault, but seen once in a long while.
AUTO_COMMIT_MS = 5
STEADY_RATE = 100.0  # documents a second


@dataclass(frozen=True)
class Plan:
    """How many documents there are, the same for every mode, and for what."""

    documents: int
    seed: int

    @property
    def under_kills(self) -> int:
        """Those that are worked on while workers are killed."""
        return self.documents // 2

    @property
    def steady(self) -> int:
        """Those that come at ``STEADY_RATE``, for the latency."""
        return min(300, self.documents // 10)

    @property
    def backlog(self) -> int:
        """Those that lie ready when a worker starts, for the throughput."""
        return self.documents - self.under_kills - self.steady

    @property
    def crashes(self) -> list[str]:
        """Where the workers die, as `stock_ledger run --crash-at` wants it.

        All in one partition: its messages come in order, so each place is reached after the last,
        and what at-most-once loses by one kill does not take the next place with it.
        """
        share = self.under_kills / PARTITIONS
        return [f"0:{int(part * share)}:{where}" for part, where in KILLS]
