"""The third driver: the core under thousands of seeded schedules of crashes and lost replies.

A schedule is one integer. It decides who moves next and what goes wrong: a crash before or after
any effect, a reply that is lost, a commit that lands late, a process that stands still until its
partitions belong to another (a zombie), a transient error, a handler that fails.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from eoconsumer.core.dealer import LaneFlow
from eoconsumer.core.flow import Flow
from eoconsumer.core.lanes import WHOLE
from eoconsumer.core.modes import Mode
from eoconsumer.core.positions import Move
from eoconsumer.core.retry import RetryPolicy
from eoconsumer.core.settings import Settings
from eoconsumer.core.verify import Comparison, Verdict, from_log
from eoconsumer.errors import TransientStoreError
from eoconsumer.message import TopicPartition
from eoconsumer.stores.memory import MemoryStore, MemoryTransaction
from eoconsumer.stores.memory_rows import Key
from eoconsumer.testing.simulated_kafka import Group, Log
from eoconsumer.testing.simulated_lanes import SimulatedDealer
from eoconsumer.testing.simulated_reader import EFFECTS, GROUP, Gone, Place, SimulatedReader

ANYWHERE = frozenset({"crash", "zombie", "rebalance"})


@dataclass
class Outcome:
    """What a schedule did: effects by place, and what was seen on the way."""

    seed: int
    produced: set[Place]
    effects: Counter[Place]
    finished: bool
    out_of_order: int
    faults: Counter[str]
    broken_claims: int  #: rows that somebody else moved after a claim returned
    fenced_owners: int  #: refused moves of the reader that claimed the row last
    verdict: Verdict  #: what the applied-log says; of nothing where there is none

    @property
    def lost(self) -> int:
        """How many messages have no effect."""
        return sum(1 for place in self.produced if not self.effects[place])

    @property
    def doubled(self) -> int:
        """How many effects are one too many."""
        return sum(count - 1 for count in self.effects.values() if count > 1)


@dataclass(frozen=True)
class Plan:
    """What a schedule is made of; the guards can be taken out by another store or flow.

    ``returned`` is the share of readers whose handler returns its writes.
    """

    mode: Mode = Mode.EXACTLY_ONCE
    faults: frozenset[str] = frozenset(
        {"crash", "zombie", "transient", "lost_reply", "late_commit", "rebalance", "bad", "stop"}
    )
    most_faults: int = 5
    readers: int = 2
    partitions: int = 2
    length: int = 5
    applied_log: bool = False
    returned: float = 0.5
    make_store: Callable[[], MemoryStore] = MemoryStore
    make_flow: Callable[[Settings], Flow] = Flow
    lanes: tuple[int, ...] = (0,)  #: each reader that starts has one of these numbers of lanes
    keys: int = 0  #: with keys the order of each is looked at, else that of the partition
    make_lane: Callable[[Settings], LaneFlow] = LaneFlow


@dataclass
class Late:
    """A commit on its way to the store, whose sender has given up waiting."""

    due: float
    reader: SimulatedReader
    transaction: MemoryTransaction
    moves: Sequence[Move]


class World:
    """One schedule: a topic, a group, a store, and the readers that come and go."""

    def __init__(self, seed: int, plan: Plan) -> None:
        """Set everything up from ``seed``."""
        self.chance = random.Random(seed)
        self.seed, self.plan, self.now = seed, plan, 0.0
        self.log = Log(plan.partitions, plan.length, plan.keys)
        self.store = plan.make_store()
        self.group = Group(self.log.messages)
        self.settings = Settings(
            mode=plan.mode,
            start="earliest",
            batch_size=self.chance.randint(1, 4),
            retry=RetryPolicy(attempts=1_000),
            on_poison="skip",
            commit_batch=self.chance.randint(1, 4),
            commit_interval=self.chance.choice((0.0, 1.0)),
            commit_timeout=self.chance.choice((0.0, 1.0)),
            identity_interval=1.0,
            applied_log=plan.applied_log,
            mirror=False,
        )
        self.unfinished = set(self.log.messages)
        self.budget = self.chance.randint(0, plan.most_faults)
        self.late: list[Late] = []
        self.faults: Counter[str] = Counter()
        self.claimer: dict[Key, SimulatedReader] = {}
        self.broken_claims = 0
        self.fenced_owners = 0
        self.births: list[float] = []
        self.readers: list[SimulatedReader] = []
        for _ in range(plan.readers):
            self._start()

    # --- time -------------------------------------------------------------------------------

    def run(self, most_steps: int = 4_000) -> Outcome:
        """Play the schedule until everything is consumed."""
        steps = 0
        while (self.unfinished or self.late or self._busy()) and steps < most_steps:
            steps += 1
            self.now += 0.01
            self._land()
            self._restart()
            awake = [r for r in self.readers if r.asleep_until <= self.now]
            if awake:
                self._step(self.chance.choice(awake))
            else:
                wakes = [r.asleep_until for r in self.readers] + self.births
                self.now = max(self.now, min([*wakes, *(late.due for late in self.late)]))
        return self._outcome(finished=steps < most_steps)

    def _busy(self) -> bool:
        """Whether a reader has messages in hand: in at-most-once their offsets are stored."""
        return any(p.pending for r in self.readers for p in r.flow.partitions.values())

    def _step(self, reader: SimulatedReader) -> None:
        try:
            reader.step()
        except Gone:
            self.readers = [each for each in self.readers if each not in reader.crew]
            self.group.leave(reader.member)
            self.births.append(self.now + 1)

    def _start(self) -> None:
        """Start a reader, with one of the numbers of lanes that there may be."""
        lanes = self.plan.lanes[0]
        if len(self.plan.lanes) > 1:
            lanes = self.chance.choice(self.plan.lanes)
        if lanes:
            reader: SimulatedReader = SimulatedDealer(self, lanes)
        else:
            reader = SimulatedReader(self, self.plan.make_flow(self.settings))
        self.readers += reader.crew
        self.group.join(reader.member)

    def _restart(self) -> None:
        while self.births and self.births[0] <= self.now:
            self.births.pop(0)
            self._start()

    def _land(self) -> None:
        for late in [late for late in self.late if late.due <= self.now]:
            self.late.remove(late)
            try:
                self.land(late.reader, late.moves, late.transaction.commit)
            except TransientStoreError:
                self.faults["late_refused"] += 1

    # --- what goes wrong --------------------------------------------------------------------

    def fault(self, own: frozenset[str]) -> str | None:
        """Draw what goes wrong at the next effect: one of its ``own`` faults, or of those anywhere.

        The odds leave some of the budget for the end of the schedule.
        """
        if self.budget <= 0 or self.chance.random() > (0.1 if own else 0.02):
            return None
        kinds = sorted((own if self.chance.random() < 0.5 else ANYWHERE) & self.plan.faults)
        if not kinds:
            return None
        self.budget -= 1
        kind = self.chance.choice(kinds)
        self.faults[kind] += 1
        return kind

    # --- what is watched --------------------------------------------------------------------

    def claimed(self, reader: SimulatedReader, keys: Sequence[TopicPartition]) -> None:
        """Note who claimed last; who claims a partition takes its lanes from their owners."""
        for key in keys:
            own = Key(GROUP, key, reader.lane)
            for row in self.store.rows:
                if row == own or (row.partition == key and reader.lane is WHOLE):
                    self.claimer[row] = reader

    def fenced(self, reader: SimulatedReader, keys: Sequence[TopicPartition]) -> None:
        """Note whether it was the rightful owner whose moves were refused."""
        rows = [Key(GROUP, key, reader.lane) for key in keys]
        self.fenced_owners += sum(self.claimer.get(row) is reader for row in rows)

    def land(
        self, reader: SimulatedReader, moves: Sequence[Move], write: Callable[[], None]
    ) -> None:
        """Let ``write`` change the store, and check who changed which row."""
        rows = {key: row.next_offset for key, row in self.store.rows.items()}
        try:
            write()
        finally:  # outside a transaction some rows may move and others be fenced
            self._watch(reader, moves, rows)

    def _watch(
        self, reader: SimulatedReader, moves: Sequence[Move], rows: Mapping[Key, int]
    ) -> None:
        for move in moves:
            key = Key(GROUP, move.partition, reader.lane)
            row = self.store.rows.get(key)
            if row is None or row.next_offset == rows[key]:
                continue
            self.broken_claims += self.claimer[key] is not reader
            if reader.lane is WHOLE and row.next_offset >= self.log.end(move.partition):
                self.unfinished.discard(move.partition)

    def _outcome(self, *, finished: bool) -> Outcome:
        places = cast(list[Place], self.store.tables[EFFECTS])
        keys = {(m, e.offset): e.raw_key for m, log in self.log.messages.items() for e in log}
        in_order: dict[tuple[TopicPartition, bytes | None], list[int]] = defaultdict(list)
        for key, offset in places:
            in_order[key, keys[key, offset]].append(offset)
        return Outcome(
            seed=self.seed,
            produced={(key, m.offset) for key, log in self.log.messages.items() for m in log},
            effects=Counter(places),
            finished=finished,
            out_of_order=sum(offsets != sorted(offsets) for offsets in in_order.values()),
            faults=self.faults,
            broken_claims=self.broken_claims,
            fenced_owners=self.fenced_owners,
            verdict=self._verdict(),
        )

    def _verdict(self) -> Verdict:
        verdict = Verdict()
        for key, log in self.log.messages.items() if self.plan.applied_log else ():
            end = self.log.end(key)
            marks = from_log(self.store.applied(GROUP, key, 0, end))
            Comparison(verdict, key, position=end).run((m.offset for m in log), marks, ())
        return verdict


def simulate(seed: int, plan: Plan | None = None) -> Outcome:
    """Play the schedule of ``seed``; the same seed and plan always give the same outcome."""
    return World(seed, plan or Plan()).run()
