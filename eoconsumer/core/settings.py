"""What the core must know of a consumer's settings: numbers and words, nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from eoconsumer.core.modes import Mode
from eoconsumer.core.retry import RetryPolicy

OnPoison: TypeAlias = Literal["stop", "skip", "bury", "quarantine"]
Positions: TypeAlias = Literal["store", "kafka"]
OnIdentityChange: TypeAlias = Literal["stop", "restart"]
OnDataLoss: TypeAlias = Literal["stop", "continue"]


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one reader. Times are seconds; sizes messages or bytes.

    ``start`` is "earliest", "latest", "error", "group", or milliseconds since the epoch.
    ``commit_batch`` is this reader's share: at most so many messages are repeated (at-least-once)
    or given up (at-most-once) when the process dies. ``group`` is for texts only.
    """

    group: str = ""

    mode: Mode = Mode.EXACTLY_ONCE
    start: str | int = "earliest"
    batch_size: int = 10_000
    batch_bytes: int = 16 * 1024 * 1024
    max_partitions: int | None = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    on_poison: OnPoison = "stop"
    commit_batch: int = 1_000
    commit_interval: float = 1.0
    positions: Positions = "store"
    applied_log: bool = False
    on_identity_change: OnIdentityChange = "stop"
    on_data_loss: OnDataLoss = "stop"
    identity_interval: float = 5.0
    mirror: bool = True
    mirror_interval: float = 1.0
    target_commit_time: float = 1.0
    batch_operations: int = 50_000
    store_timeout: float = 60.0
    commit_timeout: float = 20.0
    stop_timeout: float = 5.0
    poll_interval: float = 0.2
    patience: RetryPolicy = field(
        default_factory=lambda: RetryPolicy(attempts=1_000_000, minimum=0.05, maximum=2.0)
    )

    def within(self, transaction_seconds: float | None, poll_seconds: float) -> Settings:
        """Return these settings with batches that fit a transaction and ``max.poll.interval.ms``.

        A quarter of either, at most: the next batch may turn out to be slower than the last one.
        """
        limits = [self.target_commit_time, poll_seconds / 4]
        if transaction_seconds is not None:
            limits.append(transaction_seconds / 4)
        return replace(self, target_commit_time=min(limits))
