"""What the core wants done. A driver does it and sends the result back, or throws the error.

Every effect is per batch, never per message. The comment beside each gives its result and, behind
``!``, what a driver may throw into the generator instead.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, TypeVar

from eoconsumer.core.applied import Applied
from eoconsumer.core.lane_effects import Close, Deal, Done, Open
from eoconsumer.core.letters import DeadLetter, Letter
from eoconsumer.core.positions import Move, Start
from eoconsumer.errors import EOConsumerError
from eoconsumer.message import Message, MessageKey, TopicPartition

#: What is known of the messages of a run that stand before the one that failed.
Before: TypeAlias = Literal["handled", "perhaps", "untouched"]


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive messages of one partition, in offset order; ``size`` is in bytes.

    ``dropped`` holds the offsets that the handler must not see: their fate is decided already.
    """

    partition: TopicPartition
    messages: Sequence[Message]
    size: int = 0
    dropped: frozenset[int] = frozenset()

    def __len__(self) -> int:
        """Count the messages."""
        return len(self.messages)

    @property
    def upto(self) -> int:
        """The position after this run: offsets have gaps, so never ``start + len``."""
        return self.messages[-1].offset + 1

    def below(self, offset: int) -> Run:
        """Return the part of this run that stands before ``offset``."""
        return self._part([m for m in self.messages if m.offset < offset])

    def since(self, offset: int) -> Run:
        """Return the part of this run that begins at ``offset``."""
        return self._part([m for m in self.messages if m.offset >= offset])

    def _part(self, messages: Sequence[Message]) -> Run:
        """Return this run with ``messages`` only; what is dropped elsewhere has its own letter."""
        dropped = self.dropped and self.dropped.intersection(m.offset for m in messages)
        return replace(self, messages=messages, dropped=dropped)

    def dropping(self, offsets: Iterable[int]) -> Run:
        """Return this run with ``offsets`` kept from the handler."""
        return replace(self, dropped=self.dropped.union(offsets))

    @property
    def live(self) -> Sequence[Message]:
        """The messages that the handler is to see."""
        if not self.dropped:
            return self.messages
        return [m for m in self.messages if m.offset not in self.dropped]


class RunFailed(EOConsumerError):  # noqa: N818 - a signal between driver and core
    """A handler raised (``__cause__``) in ``partition``; ``offset`` names the message if known."""

    def __init__(
        self, partition: TopicPartition | None, offset: int | None, *, before: Before = "handled"
    ) -> None:
        """``offset`` is None where a handler of whole runs failed: any of them may be to blame.

        ``partition`` is None where writes of several runs were refused together.

        ``before`` tells of the messages before ``offset``: they were "handled"; "perhaps", where
        the handler of a run was left in its middle; "untouched", where it was only asked for its
        writes.
        """
        super().__init__()
        self.partition = partition
        self.offset = offset
        self.before = before


class OutOfTime(EOConsumerError):  # noqa: N818 - a signal between driver and core
    """The handler used up the time that a transaction may live."""

    def __init__(self, seconds: float) -> None:
        """``seconds`` is how long ago the transaction should have ended."""
        super().__init__()
        self.seconds = seconds


# --- the store --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SetUp:  # -> None ! ConfigurationError, TransientStoreError
    """Check the database, and make the rows' tables or collections, before anything is read."""


@dataclass(frozen=True, slots=True)
class Claim:  # -> Claims ! StoreError
    """Raise the epoch of these partitions and read their positions; make rows from ``starts``."""

    partitions: tuple[TopicPartition, ...]
    starts: Mapping[TopicPartition, Start]


@dataclass(frozen=True, slots=True)
class ReadPositions:  # -> dict[TopicPartition, Position] ! StoreError
    """Read what is stored, from the primary, after our own writes."""

    partitions: tuple[TopicPartition, ...]


@dataclass(frozen=True, slots=True)
class Release:  # -> None ! StoreError
    """Say that these rows have no live owner any more (their positions stay)."""

    moves: tuple[Move, ...]


@dataclass(frozen=True, slots=True)
class Begin:  # -> None ! StoreError
    """Open a transaction."""


@dataclass(frozen=True, slots=True)
class Handle:  # -> None ! RunFailed, OutOfTime, HandlerMisuse, StoreError
    """Give a run to the user's handler, in the open transaction if there is one."""

    run: Run


@dataclass(frozen=True, slots=True)
class Write:  # -> int ! RunFailed, HandlerMisuse, StoreError
    """Send the writes that the handlers of these runs returned; return how many there were."""

    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Bury:  # -> None ! QuarantineLifted, StoreError
    """Write dead letters, in the open transaction if there is one."""

    letters: tuple[DeadLetter, ...]


@dataclass(frozen=True, slots=True)
class NoteApplied:  # -> None ! StoreError
    """Write lines of the applied-log, in the open transaction if there is one; twice is as once."""

    lines: tuple[Applied, ...]


@dataclass(frozen=True, slots=True)
class Advance:  # -> None ! Fenced, StoreError
    """Write the next positions, each only where epoch and position are still ours."""

    moves: tuple[Move, ...]


@dataclass(frozen=True, slots=True)
class Commit:  # -> None ! CommitInDoubt, StoreError
    """Commit the open transaction; after ``CommitInDoubt`` it may be asked for again."""


@dataclass(frozen=True, slots=True)
class Abort:  # -> None
    """Roll the open transaction back; never fails, since the server forgets it anyway."""


# --- dead letters that are applied or dropped ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class FindLetters:  # -> Sequence[Letter] ! StoreError
    """Read the next letters of a group, in the order of topic, partition and offset."""

    group: str
    after: Letter | None


@dataclass(frozen=True, slots=True)
class View:  # -> Message
    """See the message of a letter as its handler would: decoded, or failing when it is read."""

    letter: Letter


@dataclass(frozen=True, slots=True)
class Remove:  # -> None ! LetterGone, StoreError
    """Remove a letter, in the open transaction if there is one."""

    letter: Letter


@dataclass(frozen=True, slots=True)
class Lift:  # -> bool ! StoreError
    """End the quarantine of a key, unless a letter of it is left; tell whether it is over."""

    key: MessageKey


@dataclass(frozen=True, slots=True)
class NoteFailure:  # -> None ! StoreError
    """Note in a letter that it failed once more, and how."""

    letter: Letter
    error: BaseException


# --- Kafka ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Poll:  # -> dict[TopicPartition, Sequence[Message]] | None (None: stop was asked for)
    """Wait up to ``seconds`` for messages, at most ``messages``; rebalances happen in here."""

    messages: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Resolve:  # -> dict[TopicPartition, Start] ! PositionError, BrokerError
    """Turn the policy for each partition into an offset: earliest, latest, group, a timestamp."""

    policies: Mapping[TopicPartition, str | int]


@dataclass(frozen=True, slots=True)
class Inspect:  # -> dict[TopicPartition, Sighting]
    """Ask Kafka what it says of these partitions now; what it does not tell of is left out."""

    partitions: tuple[TopicPartition, ...]


@dataclass(frozen=True, slots=True)
class Glance:  # -> dict[TopicPartition, Sighting] | None (None: the answer is under way)
    """Ask the same without waiting; the next glance after the answer asks anew."""

    partitions: tuple[TopicPartition, ...]


@dataclass(frozen=True, slots=True)
class LookUp:  # -> dict[TopicPartition, Found | None] (None: the log ends; left out: not told)
    """Read the first message at or behind each offset, beside what is being fetched."""

    offsets: Mapping[TopicPartition, int]


@dataclass(frozen=True, slots=True)
class Assign:  # -> None
    """Fetch these partitions from these offsets on; a pause of them is over."""

    positions: Mapping[TopicPartition, int]


@dataclass(frozen=True, slots=True)
class Pause:  # -> None
    """Fetch nothing of this partition for now."""

    partition: TopicPartition


@dataclass(frozen=True, slots=True)
class Resume:  # -> None
    """Fetch this partition again; what is fetched twice by that is dropped."""

    partition: TopicPartition


@dataclass(frozen=True, slots=True)
class CommitGroup:  # -> None ! BrokerError
    """Commit positions to Kafka's group and wait for the answer (``positions="kafka"``)."""

    positions: Mapping[TopicPartition, int]


@dataclass(frozen=True, slots=True)
class Mirror:  # -> None
    """Show positions to Kafka's group, best effort, without waiting."""

    positions: Mapping[TopicPartition, int]


# --- the user, the clock, chance, and whoever watches -------------------------------------------


@dataclass(frozen=True, slots=True)
class AfterCommit:  # -> None
    """Run the user's stages after the commit; their errors are logged and counted, no more."""

    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Assigned:  # -> None
    """Tell the user which partitions came."""

    partitions: tuple[TopicPartition, ...]


@dataclass(frozen=True, slots=True)
class Revoked:  # -> None
    """Tell the user which partitions went."""

    partitions: tuple[TopicPartition, ...]


@dataclass(frozen=True, slots=True)
class Now:  # -> float
    """Read the monotonic clock, in seconds."""


@dataclass(frozen=True, slots=True)
class Chance:  # -> float
    """Draw a number from [0, 1), for jitter."""


@dataclass(frozen=True, slots=True)
class Sleep:  # -> bool
    """Wait so many seconds, less if stop is asked for meanwhile; tell whether it was."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Report:  # -> None
    """Tell the hooks and the counters what happened; ``name`` is a method of the hooks."""

    name: str
    details: Mapping[str, object]


Effect: TypeAlias = (
    SetUp | Claim | ReadPositions | Release | Begin | Handle | Write | Bury | NoteApplied | Advance
    | Commit | Abort | FindLetters | View | Remove | Lift | NoteFailure | Poll
    | Resolve | Inspect | Glance | LookUp | Assign | Pause | Resume | CommitGroup | Mirror
    | Open | Deal | Close | Done | AfterCommit | Assigned | Revoked | Now | Chance | Sleep | Report
)  # fmt: skip

R = TypeVar("R")
Effects: TypeAlias = Generator[Effect, Any, R]
