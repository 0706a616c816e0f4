"""One partition as its reader sees it: a state, what is known, and what waits.

The rules:

* Kafka's assignment makes a partition UNCLAIMED; only the store's claim makes it OWNED.
* Messages are kept for OWNED and RESTING partitions only; everything else is dropped unseen.
* A failed message sends its own partition to rest; the others go on.
* A position that is in doubt is claimed again, and the claim looks whether it fits the log.
* Whoever is fenced forgets what waits and must claim again; what Kafka takes away is GONE.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import accumulate

from eoconsumer.core.applied import Applied, ranges
from eoconsumer.core.effects import Run
from eoconsumer.core.lanes import Ahead
from eoconsumer.core.letters import DeadLetter, Hold
from eoconsumer.core.positions import UNKNOWN, Identity, Move, Position
from eoconsumer.errors import KeyInQuarantine
from eoconsumer.message import Message, MessageKey, Messages, TopicPartition


class State(Enum):
    """Where a partition stands."""

    UNCLAIMED = auto()
    OWNED = auto()
    RESTING = auto()
    GONE = auto()


class Event(Enum):
    """What can happen to it."""

    CLAIMED = auto()
    FENCED = auto()
    DOUBTED = auto()
    FAILED = auto()
    RESTED = auto()
    REVOKED = auto()
    LOST = auto()


TABLE: Mapping[tuple[State, Event], State] = {
    (State.UNCLAIMED, Event.CLAIMED): State.OWNED,
    (State.UNCLAIMED, Event.FENCED): State.UNCLAIMED,
    (State.UNCLAIMED, Event.REVOKED): State.GONE,
    (State.UNCLAIMED, Event.LOST): State.GONE,
    (State.OWNED, Event.FENCED): State.UNCLAIMED,
    (State.OWNED, Event.DOUBTED): State.UNCLAIMED,
    (State.OWNED, Event.FAILED): State.RESTING,
    (State.OWNED, Event.REVOKED): State.GONE,
    (State.OWNED, Event.LOST): State.GONE,
    (State.RESTING, Event.RESTED): State.OWNED,
    # What stands before the failed message goes on meanwhile, and may fail as well.
    (State.RESTING, Event.FAILED): State.RESTING,
    (State.RESTING, Event.FENCED): State.UNCLAIMED,
    (State.RESTING, Event.DOUBTED): State.UNCLAIMED,
    (State.RESTING, Event.REVOKED): State.GONE,
    (State.RESTING, Event.LOST): State.GONE,
}


@dataclass(slots=True)
class Partition:
    """The state of one partition; ``position`` is handled, ``stored`` is written, up to there.

    ``suspect`` is the first offset of a stretch of ``suspects`` messages in which one is known to
    fail; a stretch of one stands alone. ``fates`` holds what was decided about single offsets: a
    dead letter, or None for a message that is skipped. ``quarantined`` maps a key to the offset
    behind which its messages wait as dead letters. ``ahead`` tells which messages are done though
    they come again: lanes did them. ``identity`` and ``last_epoch`` are those of the log when it
    was claimed; ``leader_epoch`` is that of the last message handled.
    ``unseen``: Kafka did not tell of it then.
    ``doubts`` counts since the last message, ``still`` the looks in which messages waited;
    ``silent_at`` is the end of the log up to which there were none after all. ``lines`` counts
    those of the applied-log.
    """

    key: TopicPartition
    state: State = State.UNCLAIMED
    epoch: int = 0
    identity: Identity = UNKNOWN
    last_epoch: int | None = None
    position: int = 0
    leader_epoch: int | None = None
    stored: int = 0
    fetched: int = 0
    pending: Messages = field(default_factory=Messages)
    wake_at: float = 0.0
    setbacks: int = 0
    suspect: int = 0
    suspects: int = 0
    tries: int = 0
    fates: dict[int, DeadLetter | None] = field(default_factory=dict)
    quarantined: dict[bytes, int] = field(default_factory=dict)
    ahead: tuple[Ahead, ...] = ()
    unseen: bool = False
    doubts: int = 0
    still: int = 0
    silent_at: int | None = None
    lines: int = 0

    def on(self, event: Event) -> None:
        """Go where the table says; an event that the table does not know here is a bug."""
        self.state = TABLE[self.state, event]
        if self.state in (State.UNCLAIMED, State.GONE):
            self.pending = Messages()
            self.fates.clear()
            self.suspects = self.tries = 0

    def claimed(self, position: Position) -> None:
        """Own the partition from the stored position on."""
        self.on(Event.CLAIMED)
        self.epoch = position.epoch
        self.quarantined = dict.fromkeys(position.quarantined, -1)
        self.ahead = position.ahead
        self.position = self.stored = self.fetched = position.next_offset
        self.leader_epoch = position.leader_epoch
        self.still = 0

    @property
    def live(self) -> bool:
        """Whether its messages are ours to keep."""
        return self.state in (State.OWNED, State.RESTING)

    def add(self, messages: Sequence[Message]) -> bool:
        """Keep what is new; return whether anything was.

        Not everything is: after a resume librdkafka may fetch from an older position again, with
        what came before it in the same poll; and a fetch that was under way at a fence still
        delivers.
        """
        if not self.live:
            return False
        fresh = Messages.of(messages).growing(self.fetched)
        if not fresh:
            return False
        self.pending.extend(fresh)
        self.fetched = fresh[-1].offset + 1
        return True

    def take(self, limit: int, size: int) -> Run | None:
        """Return the next run of at most ``limit`` messages and ``size`` bytes; it stays pending.

        Of a suspect stretch the first half is taken, so that it narrows down to one message.
        """
        if self.state is not State.OWNED or not self.pending:
            return None
        if self.suspects:
            before = self.pending.before(self.suspect)
            limit = min(limit, before or (self.suspects + 1) // 2)
        messages, total = fit(self.pending, limit, size)
        if self.quarantined:
            self._park(messages)
        if self.ahead:
            self._pass_over(messages)
        dropped = {m.offset for m in messages} & self.fates.keys() if self.fates else ()
        return Run(self.key, messages, total, frozenset(dropped))

    @property
    def resting(self) -> bool:
        """Whether it is paused until a failed message is tried again."""
        return self.state is State.RESTING

    @property
    def alone(self) -> bool:
        """Whether the next run must not share a transaction: it may well fail."""
        return bool(self.suspects and self.pending and self.pending[0].offset >= self.suspect)

    def settle(self, upto: int) -> None:
        """Note that everything below ``upto`` is done with."""
        done = self.pending.before(upto)
        if self.suspects and upto > self.suspect:
            self.suspects = max(0, self.suspects - done)
            self.suspect = upto
            self.tries = 0
        if done:
            self.leader_epoch = self.pending[done - 1].leader_epoch
        self.pending.drop(done)
        for offset in [o for o in self.fates if o < upto]:
            del self.fates[offset]
        self.position = upto
        if self.ahead:
            self.ahead = tuple(lane for lane in self.ahead if lane.upto > upto)
        self.setbacks = self.doubts = self.still = 0

    def blame(self, offset: int | None, run: Run) -> bool:
        """Note a failure in ``run``; return whether it is known which message it was."""
        if offset is None and len(run.live) > 1:
            self.suspects_one_of(run)
            return False
        known = run.live[0].offset if offset is None else offset
        if not self.suspects or self.suspect != known or self.suspects > 1:
            self.suspect, self.suspects, self.tries = known, 1, 0
        self.tries += 1
        return True

    def suspects_one_of(self, run: Run) -> None:
        """Note that some message of ``run`` may fail: its messages come alone, and are halved."""
        self.suspect, self.suspects, self.tries = run.messages[0].offset, len(run.messages), 0

    def decide(self, offset: int, fate: DeadLetter | None) -> None:
        """Let the message at ``offset`` pass the handler by: buried, or skipped where None."""
        self.fates[offset] = fate
        self.suspects = self.tries = 0
        if fate is not None and fate.hold is Hold.BEGINS and fate.key is not None:
            key = fate.key.key
            self.quarantined[key] = min(offset, self.quarantined.get(key, offset))

    def _park(self, messages: Iterable[Message]) -> None:
        """Decide about those ``messages`` whose key is in quarantine: they wait behind it."""
        for message in messages:
            key, offset = message.raw_key, message.offset
            if key is None or key not in self.quarantined or offset in self.fates:
                continue
            if offset > self.quarantined[key]:
                waits = DeadLetter(message, KeyInQuarantine(), 0, Hold.WAITS)
                self.fates[offset] = waits

    def _pass_over(self, messages: Iterable[Message]) -> None:
        """Let those ``messages`` pass the handler by that a lane has handled already."""
        for message in messages:
            if any(lane.covers(message) for lane in self.ahead):
                self.fates[message.offset] = None

    def lifted(self, keys: Container[MessageKey]) -> None:
        """Let the messages of these keys be handled again: nothing waits before them any more."""
        for key in [k for k in self.quarantined if MessageKey(self.key, k) in keys]:
            del self.quarantined[key]
        for offset, fate in list(self.fates.items()):
            if fate is not None and fate.hold is Hold.WAITS and fate.key in keys:
                del self.fates[offset]

    def line(self, run: Run) -> Applied:
        """Return the next line of the applied-log; a run that is done again has another one."""
        self.lines += 1
        handled = ranges(message.offset for message in run.live)
        passed = tuple(m.offset for m in run.messages if m.offset in run.dropped)
        return Applied(self.key, self.epoch, self.lines, handled, passed)

    def move(self, run: Run | None = None) -> Move:
        """Return the step of the stored position behind ``run``, or behind all that is handled."""
        if run is None:
            return Move(self.key, self.epoch, self.stored, self.position, self.leader_epoch)
        leader_epoch = run.messages[-1].leader_epoch
        return Move(self.key, self.epoch, self.stored, run.upto, leader_epoch)


def fit(messages: Messages, limit: int, size: int) -> tuple[Messages, int]:
    """Return the longest head of at most ``limit`` messages and ``size`` bytes, one at least.

    The second value is its size in bytes.
    """
    head = messages[:limit]
    sizes = head.sizes()
    if sum(sizes) > size:
        fitting = sum(total <= size for total in accumulate(sizes))
        head = head[: max(1, fitting)]
        sizes = sizes[: len(head)]
    return head, sum(sizes)
