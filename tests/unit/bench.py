"""The core on a bench: a driver of a few lines, a store in memory, and faults on request."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from eoconsumer.core import effects as fx
from eoconsumer.core.flow import Flow
from eoconsumer.core.identity import Found, Sighting
from eoconsumer.core.positions import Identity, Start
from eoconsumer.core.settings import Settings
from eoconsumer.message import Message, Record, TopicPartition
from eoconsumer.stores.memory import Key, MemoryStore, MemoryTransaction

R = TypeVar("R")
P0, P1, P2 = (TopicPartition("moves", n) for n in range(3))
GROUP = "ledger"
HERE = Identity("first-life", "cluster")


def messages(
    offsets: Iterable[int], key: TopicPartition = P0, size: int = 1, keys: Sequence[bytes] = ()
) -> list[Message]:
    """Make messages; ``keys`` are theirs in turn."""
    return [
        Message(Record(*key, o, b"x" * size, keys[o % len(keys)] if keys else None), None)
        for o in offsets
    ]


class LostReply(Exception):  # noqa: N818 - not an error of its own
    """The effect is done, and then the driver throws ``error`` all the same."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class Bench:
    """One reader. ``poison`` maps offsets to what the handler raises there."""

    def __init__(
        self,
        store: MemoryStore | None = None,
        *,
        poison: Mapping[int, Exception] | None = None,
        culprit_known: bool = True,
        group: Mapping[TopicPartition, int] | None = None,
        owner: str = "a",
        flow: type[Flow] = Flow,
        **settings: Any,
    ) -> None:
        self.flow = flow(Settings(**{"mirror": False, **settings}))
        self.store = store or MemoryStore()
        self.session = self.store.open(GROUP, owner)
        self.poison = dict(poison or {})
        self.culprit_known = culprit_known
        self.group = dict(group or {})
        self.faults: dict[type, deque[Exception | None]] = {}
        self.seen: list[fx.Effect] = []
        self.polls: deque[Mapping[TopicPartition, Sequence[Message]]] = deque()
        self.transaction: MemoryTransaction | None = None
        self.clock = 0.0
        self.log = Sighting(HERE, 0, 10_000, 0)  # what Kafka says of each partition
        self.logs: dict[TopicPartition, Sighting | None] = {}  # where it says something else
        self.found: dict[TopicPartition, Found] = {}
        self.silent: set[TopicPartition] = set()  # Kafka shows no message of these

    # --- what a test asks for -----------------------------------------------------------------

    def fail(self, effect: type, *outcomes: Exception | None) -> None:
        """Throw these at the next effects of this type; None lets one pass."""
        self.faults.setdefault(effect, deque()).extend(outcomes)

    def own(self, *keys: TopicPartition) -> Bench:
        self.run(self.flow.assigned(keys))
        self.seen.clear()
        return self

    def consume(self, *polls: Mapping[TopicPartition, Sequence[Message]]) -> Bench:
        """Read these polls and whatever follows from them, then stop."""
        self.polls.extend(polls)
        self.run(self.flow.read())
        return self

    def all(self, kind: type[R]) -> list[R]:
        return [effect for effect in self.seen if isinstance(effect, kind)]

    def reports(self, name: str) -> list[Mapping[str, Any]]:
        return [report.details for report in self.all(fx.Report) if report.name == name]

    @property
    def effects(self) -> list[int]:
        """The offsets whose writes are visible, in the order of their writing."""
        return list(self.store.tables["effects"])  # type: ignore[arg-type]

    def stored(self, key: TopicPartition = P0) -> int:
        return self.store.rows[Key(GROUP, key)].next_offset

    # --- the driver ---------------------------------------------------------------------------

    def run(self, effects: fx.Effects[R]) -> R:
        try:
            effect = next(effects)
            while True:
                self.seen.append(effect)
                assert len(self.seen) < 20_000, "the core goes round in circles"
                try:
                    result = self._do(effect)
                except Exception as error:
                    effect = effects.throw(error)
                else:
                    effect = effects.send(result)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    def _do(self, effect: Any) -> object:
        waiting = self.faults.get(type(effect))
        fault = waiting.popleft() if waiting else None
        if fault is not None and not isinstance(fault, LostReply):
            raise fault
        method = getattr(self, type(effect).__name__.lower(), None)
        result = method(effect) if method else None
        if isinstance(fault, LostReply):
            raise fault.error
        return result

    def poll(self, poll: fx.Poll) -> object:
        if self.polls:
            return self.polls.popleft()
        self.clock += poll.seconds
        busy = any(p.pending for p in self.flow.partitions.values())
        return {} if busy else None

    def sleep(self, sleep: fx.Sleep) -> None:
        self.clock += sleep.seconds

    def now(self, _: fx.Now) -> float:
        return self.clock

    def chance(self, _: fx.Chance) -> float:
        return 0.0

    def resolve(self, resolve: fx.Resolve) -> dict[TopicPartition, Start]:
        ends = {"earliest": 0, "latest": 100}
        found = {
            key: self.group.get(key) if policy == "group" else ends.get(str(policy), 50)
            for key, policy in resolve.policies.items()
        }
        return {key: Start(offset, 2) for key, offset in found.items() if offset is not None}

    def inspect(self, asked: fx.Inspect | fx.Glance) -> dict[TopicPartition, Sighting]:
        said = {key: self.logs.get(key, self.log) for key in asked.partitions}
        return {key: sighting for key, sighting in said.items() if sighting is not None}

    def glance(self, glance: fx.Glance) -> object:
        return self.inspect(glance)

    def lookup(self, look_up: fx.LookUp) -> dict[TopicPartition, Found | None]:
        told = {k: self.found.get(k) for k in look_up.offsets if k not in self.silent}
        return {k: at if at and at.offset >= look_up.offsets[k] else None for k, at in told.items()}

    def commitgroup(self, commit: fx.CommitGroup) -> None:
        self.group.update(commit.positions)

    def claim(self, claim: fx.Claim) -> object:
        return self.session.claim(claim.partitions, claim.starts)

    def readpositions(self, read: fx.ReadPositions) -> object:
        return self.session.positions(read.partitions)

    def release(self, release: fx.Release) -> None:
        self.session.release(release.moves)

    def begin(self, _: fx.Begin) -> None:
        self.transaction = self.session.transaction()

    def handle(self, handle: fx.Handle) -> None:
        scope = self.transaction or self.session
        for message in handle.run.live:
            if message.offset in self.poison:
                known = message.offset if self.culprit_known else None
                error = self.poison[message.offset]
                raise fx.RunFailed(handle.run.partition, known) from error
            scope.session.append("effects", message.offset)

    def bury(self, bury: fx.Bury) -> None:
        (self.transaction or self.session).bury(bury.letters)

    def noteapplied(self, note: fx.NoteApplied) -> None:
        (self.transaction or self.session).note_applied(note.lines)

    def advance(self, advance: fx.Advance) -> None:
        (self.transaction or self.session).advance(advance.moves)

    def commit(self, _: fx.Commit) -> None:
        assert self.transaction is not None
        self.transaction.commit()  # the next Begin replaces it: a commit may be asked for again

    def abort(self, _: fx.Abort) -> None:
        self.transaction = None
