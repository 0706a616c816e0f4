"""Hooks that do nothing until you override them, and the counters behind ``run_until``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from eoconsumer.core.effects import Run
from eoconsumer.message import Message, TopicPartition


@dataclass(frozen=True, slots=True)
class Trace:
    """One message that went through one stage: "handle" or "after_commit".

    ``attempt`` counts from 1; ``seconds`` is how long the stage took (for a handler of whole runs:
    the run's time divided by its messages); ``error`` is what it raised, or None.
    """

    topic: str
    partition: int
    offset: int
    attempt: int
    stage: str
    seconds: float
    error: BaseException | None = None


class Events:
    """What happens inside a consumer; subclass, override what you need, pass as ``events=``.

    The methods are called on the readers' threads, so they must be quick and thread-safe. An error
    that one raises is logged and goes no further.
    """

    def claimed(self, positions: Mapping[TopicPartition, int]) -> None:
        """These partitions are ours, each from this position on."""

    def fenced(self, partition: TopicPartition) -> None:
        """Another consumer owns the partition; ours was let go, nothing is lost."""

    def doubted(self, partition: TopicPartition, reason: str) -> None:
        """The position may not fit the log any more; it is claimed again, and looked at."""

    def identity_changed(
        self, partition: TopicPartition, error: BaseException, position: int
    ) -> None:
        """Another topic or cluster: it is read from ``position`` on, by on_identity_change."""

    def data_lost(
        self, partition: TopicPartition, error: BaseException, position: int, missing: int
    ) -> None:
        """So many messages are gone from the log; it goes on at ``position``, by on_data_loss."""

    def committed(self, runs: tuple[Run, ...], seconds: float) -> None:
        """A batch went through all steps of its mode in ``seconds``."""

    def retry(
        self,
        partition: TopicPartition,
        offset: int,
        error: BaseException,
        attempt: int,
        delay: float,
    ) -> None:
        """A message failed; its partition rests for ``delay`` seconds before the next try."""

    def skipped(self, message: Message, error: BaseException, attempts: int) -> None:
        """A message failed for good and is passed over, by ``on_poison="skip"``."""

    def buried(self, message: Message, error: BaseException, attempts: int) -> None:
        """A message failed for good and becomes a dead letter, by ``on_poison``."""

    def parked(self, messages: Sequence[Message]) -> None:
        """These messages wait as dead letters, behind another of their key in quarantine."""

    def lifted(self, partition: TopicPartition) -> None:
        """Keys of this partition left their quarantine; their messages are handled again."""

    def not_ready(self, error: BaseException, tries: int) -> None:
        """The database was not there, or not ready, at the start; it is tried again."""

    def store_retry(self, error: BaseException, tries: int) -> None:
        """The database asked for another try."""

    def in_doubt_resolved(self, committed: bool, tries: int) -> None:
        """A commit whose answer was lost was found to have happened, or not."""

    def advance_failed(self, error: BaseException) -> None:
        """At-least-once: the last positions were not stored before the partition went."""

    def release_failed(self, error: BaseException) -> None:
        """A row could not be marked as having no owner; the next owner claims it all the same."""

    def stage_failed(self, error: BaseException, messages: int) -> None:
        """``after_commit`` raised; the messages stay committed."""

    def restarted(self, error: BaseException, attempt: int, delay: float) -> None:
        """A reader lost its broker or database and starts again after ``delay`` seconds."""

    def trace(self, trace: Trace) -> None:
        """One message went through one stage. Overriding this costs time for every message."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a consumer has done since it started; handed to the predicate of ``run_until``.

    Counts are messages, but for ``batches``, ``claims``, ``fenced``, ``doubts`` and
    ``identity_changes`` (partitions) and ``restarts``.
    ``positions`` has the next offset of every partition that was owned here.
    """

    committed: int = 0
    batches: int = 0
    retries: int = 0
    skipped: int = 0
    buried: int = 0
    parked: int = 0
    claims: int = 0
    fenced: int = 0
    doubts: int = 0
    identity_changes: int = 0
    missing: int = 0
    store_retries: int = 0
    in_doubt_committed: int = 0
    in_doubt_repeated: int = 0
    stage_failures: int = 0
    restarts: int = 0
    positions: Mapping[TopicPartition, int] = field(default_factory=dict)
