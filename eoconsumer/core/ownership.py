"""Which partitions are ours, and from where: claims at an assignment, letting go at a revoke."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from eoconsumer.core.effects import (
    Assign,
    Assigned,
    Chance,
    Claim,
    CommitGroup,
    Effect,
    Effects,
    Mirror,
    Now,
    Release,
    Report,
    Resolve,
    Revoked,
    Sleep,
)
from eoconsumer.core.partition import Event, Partition, State
from eoconsumer.core.positions import Claims, Position, Start
from eoconsumer.core.settings import Settings
from eoconsumer.errors import PositionError, StoreError, TransientStoreError
from eoconsumer.message import TopicPartition


class Ownership:
    """The partitions of one reader, and how they are taken over and given up."""

    def __init__(self, settings: Settings) -> None:
        """Own nothing yet."""
        self.settings = settings
        self.partitions: dict[TopicPartition, Partition] = {}
        self._mirrored: dict[TopicPartition, int] = {}
        self._mirror_at = 0.0

    def assigned(self, keys: Sequence[TopicPartition]) -> Effects[None]:
        """Kafka gave us ``keys``: claim them, tell the user, and fetch from what is stored."""
        if not keys:  # a reader more than there are partitions is told so, at each rebalance
            return
        for key in keys:
            self.partitions[key] = Partition(key)
        yield from self.take_over(keys)
        yield Assigned(tuple(keys))

    def take_over(self, keys: Sequence[TopicPartition]) -> Effects[None]:
        """Claim ``keys`` and fetch each from its position; who loses the race tries again later."""
        positions = yield from self._claim(tuple(keys))
        for key in keys:
            if key in positions:
                self.partitions[key].claimed(positions[key])
            else:
                yield from self.fence([key])
        starts = {key: position.next_offset for key, position in positions.items()}
        yield Assign(starts)
        yield Report("claimed", {"positions": starts})
        yield from self.mirror(force=True)

    def fence(self, keys: Iterable[TopicPartition]) -> Effects[None]:
        """Let ``keys`` go; where Kafka still says that they are ours they are claimed again.

        Not at once: a process that was stopped past its session time-out is fenced first and told
        by Kafka a moment later; claiming in between would take the row from its rightful owner.
        """
        now, chance = (yield Now()), (yield Chance())
        for key in keys:
            partition = self.partitions[key]
            partition.on(Event.FENCED)
            partition.setbacks += 1
            partition.wake_at = now + 0.5 + self.settings.patience.delay(partition.setbacks, chance)
            yield Report("fenced", {"partition": key})

    def reclaim(self, now: float) -> Effects[None]:
        """Claim again what was fenced and is still assigned."""
        due = [
            key
            for key, partition in self.partitions.items()
            if partition.state is State.UNCLAIMED and partition.wake_at <= now
        ]
        if due:
            yield from self.take_over(due)

    def revoked(self, keys: Sequence[TopicPartition], *, lost: bool = False) -> Effects[None]:
        """Kafka takes ``keys`` away: nothing of them commits after this. ``lost``: no writes."""
        going = [self.partitions[key] for key in keys if key in self.partitions]
        if not lost:
            yield from self.finish()
            yield from self.mirror(force=True)
        yield Revoked(tuple(p.key for p in going))
        owned = [p.move(p.stored) for p in going if p.live]
        for partition in going:
            partition.on(Event.LOST if lost else Event.REVOKED)
            del self.partitions[partition.key]
            self._mirrored.pop(partition.key, None)
        if owned and not lost:
            try:
                yield Release(tuple(owned))
            except StoreError as error:
                # The next owner claims the row all the same; it only takes a little longer.
                yield Report("release_failed", {"error": error})

    def finish(self) -> Effects[None]:
        """Store what was handled and is not stored yet, before partitions go."""
        raise NotImplementedError

    def mirror(self, *, force: bool = False) -> Effects[None]:
        """Show the stored positions to Kafka's group, so that its own tools tell the true lag."""
        if not self.settings.mirror or self.settings.positions == "kafka":
            return
        stored = {key: p.stored for key, p in self.partitions.items() if p.live}
        news = {k: offset for k, offset in stored.items() if self._mirrored.get(k) != offset}
        if not news:
            return
        now = yield Now()
        if force or now >= self._mirror_at:
            self._mirrored.update(news)
            self._mirror_at = now + self.settings.mirror_interval
            yield Mirror(news)

    def mirror_failed(self, keys: Iterable[TopicPartition]) -> None:
        """Show these positions again at the next chance: Kafka did not take them."""
        for key in keys:
            self._mirrored.pop(key, None)

    # --- the claim --------------------------------------------------------------------------

    def _claim(self, keys: tuple[TopicPartition, ...]) -> Effects[dict[TopicPartition, Position]]:
        """Return the rows of ``keys`` that are ours now, made where there were none."""
        claims: Claims = yield from self._ask(Claim(keys, {}))
        positions = dict(claims.positions)
        starts = yield from self._starts(keys, claims)
        if starts:
            claims = yield from self._ask(Claim(tuple(starts), starts))
            for key in starts:
                positions.pop(key, None)
            positions.update(claims.positions)
        # Another claim came between our two and has yet to write what it resolved: not ours.
        in_kafka = self.settings.positions == "kafka"
        return {key: row for key, row in positions.items() if row.handed_over == in_kafka}

    def _starts(
        self, keys: tuple[TopicPartition, ...], claims: Claims
    ) -> Effects[dict[TopicPartition, Start]]:
        """Return what must be written before the partitions can start: new rows, hand-overs."""
        to_kafka = self.settings.positions == "kafka"
        rows = claims.positions
        group = {
            key: "group"
            for key in keys
            if (
                rows[key].handed_over if key in rows else to_kafka or self.settings.start == "group"
            )
        }
        starts: dict[TopicPartition, Start] = (yield Resolve(group)) if group else {}
        new = {
            key: self._policy(key, claims) for key in keys if key not in rows and key not in starts
        }
        starts |= (yield Resolve(new)) if new else {}
        for key, row in rows.items():
            if key in starts or to_kafka or row.handed_over:
                # No commit in the group: the row is all there is.
                offset = starts[key].next_offset if key in starts else row.next_offset
                starts[key] = Start(offset, 0, replaces=row.epoch)
        if not to_kafka:
            return starts
        # First the group, then the mark that the group is the truth: a crash in between is safe.
        yield CommitGroup({key: start.next_offset for key, start in starts.items()})
        return {key: replace(start, handed_over=True) for key, start in starts.items()}

    def _policy(self, key: TopicPartition, claims: Claims) -> str | int:
        """Return where ``key`` starts, which was never claimed and has no commit in the group."""
        known = claims.known.get(key.topic)
        if known is not None and key.partition >= known:
            return "earliest"  # added after this group first saw the topic: nothing may be missed
        if self.settings.start == "error":
            raise PositionError(
                f'{key} has no stored position and start="error". Nothing was consumed. Set '
                'start="earliest" or "latest" once, or check the group and the database.'
            )
        return "earliest" if self.settings.start == "group" else self.settings.start

    def _ask(self, claim: Claim) -> Effects[Claims]:
        partitions = len(claim.partitions)
        claims: Claims = yield from self.insist(
            claim, f"let us claim {partitions} partitions, and they were not started"
        )
        return claims

    # --- patience with the database ------------------------------------------------------------

    def insist(self, effect: Effect, not_done: str) -> Effects[Any]:
        """Do ``effect``, again while the database asks for it, within ``commit_timeout``.

        Once stop is asked for there is less time, or whoever asked would rather kill us.
        """
        began: float = yield Now()
        limit, tries = self.settings.commit_timeout, 0
        while True:
            try:
                return (yield effect)
            except TransientStoreError as error:
                tries += 1
                now: float = yield Now()
                if now - began >= limit:
                    raise StoreError(
                        f"The database did not {not_done}; we tried for {now - began:.0f} s. Last "
                        f"answer: {error}"
                    ) from error
                yield Report("store_retry", {"error": error, "tries": tries})
                if (yield from self.back_off(tries)):
                    limit = min(limit, self.settings.stop_timeout)

    def back_off(self, tries: int) -> Effects[bool]:
        """Sleep before another try, longer each time; return whether stop was asked for."""
        chance: float = yield Chance()
        stopping: bool | None = yield Sleep(self.settings.patience.delay(tries, chance))
        return bool(stopping)
