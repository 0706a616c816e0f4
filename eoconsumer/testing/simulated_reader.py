"""One reader of the simulator: the real core, over a simulated Kafka and an in-memory store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from eoconsumer.core import effects as fx
from eoconsumer.core.flow import Flow
from eoconsumer.core.identity import Found, Sighting
from eoconsumer.core.lanes import WHOLE, Lane
from eoconsumer.core.positions import Claims, Identity, Position, Start
from eoconsumer.errors import CommitInDoubt, EOConsumerError, Fenced, TransientStoreError
from eoconsumer.message import Message, TopicPartition
from eoconsumer.stores.memory import MemoryStoreSession, MemoryTransaction
from eoconsumer.testing.simulated_kafka import Member

if TYPE_CHECKING:
    from eoconsumer.testing.simulator import World

GROUP = "simulated"
TOPIC = Identity("simulated", "simulated")
EFFECTS = "effects"
Place: TypeAlias = tuple[TopicPartition, int]

# No other process can tell when these happen, so they take no step of the schedule.
_UNSEEN = (fx.Now, fx.Chance, fx.Report, fx.AfterCommit, fx.Assigned, fx.Revoked)
POSSIBLE: Mapping[type, frozenset[str]] = {
    fx.Poll: frozenset({"stop"}),
    fx.Claim: frozenset({"transient", "lost_reply"}),
    fx.ReadPositions: frozenset({"transient"}),
    fx.Release: frozenset({"transient"}),
    fx.Begin: frozenset({"transient"}),
    fx.Handle: frozenset({"transient", "bad"}),
    fx.Write: frozenset({"transient", "bad"}),
    fx.NoteApplied: frozenset({"transient", "lost_reply"}),
    fx.Advance: frozenset({"transient", "lost_reply"}),
    fx.Commit: frozenset({"transient", "lost_reply", "late_commit"}),
}


class Gone(Exception):  # noqa: N818 - not an error: the simulated process has ended
    """The simulated process has ended, by a crash or by a clean stop."""


class NotYet(Exception):  # noqa: N818 - not an error: the effect is still to be done
    """The effect has no result yet; the next step of the reader goes on with it."""


class SimulatedReader:
    """Carries out the effects of one ``Flow``, one at a step."""

    possible = POSSIBLE  #: what may go wrong with an effect, beside what may anywhere

    def __init__(self, world: World, flow: Flow, lane: Lane = WHOLE) -> None:
        """Start with ``flow``, for the rows of ``lane``."""
        self.world = world
        self.flow = flow
        self.lane = lane if lane.number else WHOLE
        self.store: MemoryStoreSession = world.store.open_lane(GROUP, f"reader-{id(self)}", lane)
        self.member = Member()
        self.crew = [self]  # those that live and die with it
        self.transaction: MemoryTransaction | None = None
        self.moves: tuple[Any, ...] = ()
        self.returns_writes = world.chance.random() < world.plan.returned
        self.asleep_until = 0.0
        # The loop at the bottom; a rebalance that came up in its poll on top.
        self.stack: list[tuple[fx.Effects[None], Callable[[], None]]] = []
        self.effect: fx.Effect
        self._push(self.flow.read(), self._leave)

    def step(self) -> None:
        """Do one effect, and let the core say what comes next."""
        effects, done = self.stack[-1]
        try:
            try:
                result = self._do(self.effect)
            except NotYet:
                return
            except EOConsumerError as error:
                self._wants(effects, effects.throw(error))
            else:
                self._wants(effects, effects.send(result))
        except StopIteration:
            self.stack.pop()
            done()
        except EOConsumerError as error:
            raise Gone from error  # a driver would restart this reader

    def _push(self, effects: fx.Effects[None], done: Callable[[], None]) -> None:
        self.stack.append((effects, done))
        try:
            self._wants(effects, next(effects))
        except StopIteration:  # there was nothing in it that others can see
            self.stack.pop()
            done()

    def _wants(self, effects: fx.Effects[None], effect: fx.Effect) -> None:
        """Keep the next effect for the next step, past those that nobody else can see."""
        while isinstance(effect, _UNSEEN):
            effect = effects.send(self._see(effect))
        self.effect = effect

    def _leave(self) -> None:
        raise Gone

    def _do(self, effect: Any) -> object:
        """Carry out ``effect``, with what the schedule lets go wrong."""
        fault = self.world.fault(self.possible.get(type(effect), frozenset()))
        if fault == "crash" and self.world.chance.random() < 0.5:
            raise Gone
        if fault == "zombie":
            self.world.group.expire(self.member)
            for each in self.world.chance.choice(([self], self.crew)):
                each.asleep_until = self.world.now + self.world.chance.uniform(0.1, 4)
            raise NotYet
        if fault == "rebalance":
            self.world.group.balance(self.world.chance.randrange(4))
        if fault == "transient":
            raise self._transient(effect)
        if fault == "late_commit":
            raise self._late()
        if fault == "stop":
            return None
        method = getattr(self, f"_{type(effect).__name__.lower()}", None)
        result = method(effect, fault) if method else None
        if fault == "crash":
            raise Gone
        if fault == "lost_reply":
            raise CommitInDoubt if isinstance(effect, fx.Commit) else TransientStoreError
        return result

    def _transient(self, effect: object) -> EOConsumerError:
        # Outside a transaction an error of the database is an error of one message, or of a run.
        if isinstance(effect, fx.Handle) and self.transaction is None and effect.run.live:
            before: fx.Before = "untouched" if self.returns_writes else "handled"
            failure = fx.RunFailed(effect.run.partition, effect.run.live[0].offset, before=before)
            failure.__cause__ = TransientStoreError()
            return failure
        if isinstance(effect, fx.Write) and self.transaction is None and effect.runs[0].live:
            failure = fx.RunFailed(effect.runs[0].partition, None, before="perhaps")
            failure.__cause__ = TransientStoreError()
            return failure
        if isinstance(effect, fx.Commit) and self.transaction is not None:
            self.transaction.abort()
        return TransientStoreError()

    def _late(self) -> CommitInDoubt:
        from eoconsumer.testing.simulator import Late

        assert self.transaction is not None
        due = self.world.now + self.world.chance.uniform(0, 3)
        self.world.late.append(Late(due, self, self.transaction, self.moves))
        return CommitInDoubt()

    # --- Kafka ------------------------------------------------------------------------------

    def _poll(self, poll: fx.Poll, _: str | None) -> dict[TopicPartition, list[Message]]:
        member, group = self.member, self.world.group
        if member.news:
            kind, key = member.news.popleft()
            if kind == "assigned":
                self._push(self.flow.assigned([key]), lambda: self._again(poll))
            else:
                member.fetching.pop(key, None)
                lost = kind == "lost"
                self._push(self.flow.revoked([key], lost=lost), lambda: self._back(poll, key))
            raise NotYet
        if member not in group.members:
            group.join(member)
            raise NotYet
        fetched = {}
        for key, offset in member.fetching.items():
            count = self.world.chance.randint(0, poll.messages)
            messages = self.world.log.fetch(key, offset, count)
            if messages and key not in member.paused:
                fetched[key] = messages
                member.fetching[key] = messages[-1].offset + 1
        if not fetched:
            self.asleep_until = self.world.now + poll.seconds
        return fetched

    def _again(self, poll: fx.Poll) -> None:
        self.effect = poll

    def _back(self, poll: fx.Poll, key: TopicPartition) -> None:
        self.world.group.given_back(self.member, key)
        self.effect = poll

    def _resolve(self, effect: fx.Resolve, _: str | None) -> dict[TopicPartition, Start]:
        return {key: Start(0, self.world.plan.partitions) for key in effect.policies}

    def _inspect(
        self, effect: fx.Inspect | fx.Glance, _: str | None
    ) -> dict[TopicPartition, Sighting]:
        return {key: Sighting(TOPIC, 0, self.world.log.end(key), 0) for key in effect.partitions}

    def _glance(self, effect: fx.Glance, _: str | None) -> dict[TopicPartition, Sighting] | None:
        return self._inspect(effect, None) if self.world.chance.random() < 0.5 else None

    def _lookup(self, effect: fx.LookUp, _: str | None) -> dict[TopicPartition, Found | None]:
        fetched = {key: self.world.log.fetch(key, at, 1) for key, at in effect.offsets.items()}
        return {
            key: Found(some[0].offset, some[0].leader_epoch) if some else None
            for key, some in fetched.items()
        }

    def _assign(self, effect: fx.Assign, _: str | None) -> None:
        self.member.fetching.update(effect.positions)
        self.member.paused.difference_update(effect.positions)

    def _pause(self, effect: fx.Pause, _: str | None) -> None:
        self.member.paused.add(effect.partition)

    def _resume(self, effect: fx.Resume, _: str | None) -> None:
        self.member.paused.discard(effect.partition)
        if effect.partition in self.member.fetching:  # librdkafka may go back a little here
            self.member.fetching[effect.partition] -= self.world.chance.randint(0, 2)

    # --- the store and the handler -----------------------------------------------------------

    def _claim(self, effect: fx.Claim, _: str | None) -> Claims:
        claims = self.store.claim(effect.partitions, effect.starts)
        self.world.claimed(self, tuple(claims.positions))
        return claims

    def _readpositions(
        self, effect: fx.ReadPositions, _: str | None
    ) -> dict[TopicPartition, Position]:
        return self.store.positions(effect.partitions)

    def _release(self, effect: fx.Release, _: str | None) -> None:
        self.store.release(effect.moves)

    def _begin(self, *_: object) -> None:
        self.transaction = self.store.transaction()

    def _handle(self, effect: fx.Handle, fault: str | None) -> None:
        live = effect.run.live
        if not live:
            return
        broken = self.world.chance.randrange(len(live)) if fault in ("crash", "bad") else len(live)
        if not self.returns_writes:
            self._append(effect.run, broken)
        if fault == "bad":
            raise fx.RunFailed(
                effect.run.partition,
                live[broken].offset,
                before="untouched" if self.returns_writes else "handled",
            ) from ValueError("bad")

    def _write(self, effect: fx.Write, fault: str | None) -> None:
        for run in filter(lambda run: run.live, effect.runs if self.returns_writes else ()):
            if fault in ("crash", "bad"):
                self._append(run, self.world.chance.randrange(len(run.live)))
                if fault == "bad":
                    several = len(effect.runs) > 1
                    partition = None if several else run.partition
                    raise fx.RunFailed(partition, None, before="perhaps") from ValueError("bad")
                return
            self._append(run, len(run.live))

    def _append(self, run: fx.Run, count: int) -> None:
        """Have the effects of the first messages of ``run``."""
        session = (self.transaction or self.store).session
        for message in run.live[:count]:
            session.append(EFFECTS, (run.partition, message.offset))

    def _noteapplied(self, effect: fx.NoteApplied, _: str | None) -> None:
        (self.transaction or self.store).note_applied(effect.lines)

    def _advance(self, effect: fx.Advance, _: str | None) -> None:
        self.moves = effect.moves
        try:
            if self.transaction is not None:
                self.transaction.advance(effect.moves)
            else:
                self.world.land(self, effect.moves, lambda: self.store.advance(effect.moves))
        except Fenced as fenced:
            self.world.fenced(self, fenced.partitions)
            raise

    def _commit(self, *_: object) -> None:
        assert self.transaction is not None
        self.world.land(self, self.moves, self.transaction.commit)

    def _abort(self, *_: object) -> None:
        self.transaction = None

    def _see(self, effect: object) -> float | None:
        if isinstance(effect, fx.Now):
            return self.world.now
        return self.world.chance.random() if isinstance(effect, fx.Chance) else None

    def _sleep(self, effect: fx.Sleep, _: str | None) -> None:
        self.asleep_until = self.world.now + effect.seconds
