"""Which partitions are ours, and from where: claims at an assignment, letting go at a revoke."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from eoconsumer.core.claiming import Claiming
from eoconsumer.core.effects import (
    Assign,
    Assigned,
    Chance,
    Effects,
    Mirror,
    Now,
    Report,
    Revoked,
)
from eoconsumer.core.partition import Event, Partition, State
from eoconsumer.core.settings import Settings
from eoconsumer.message import TopicPartition


class Ownership(Claiming):
    """The partitions of one reader, and how they are taken over and given up."""

    def __init__(self, settings: Settings) -> None:
        """Own nothing yet."""
        super().__init__(settings)
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
        positions = yield from self.claim(tuple(keys))
        for key in keys:
            partition = self.partitions[key]
            if key in positions:
                partition.claimed(positions[key])
            elif partition.unseen:
                yield from self.later(partition)
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
        for key in keys:
            self.partitions[key].on(Event.FENCED)
            yield from self.later(self.partitions[key])
            yield Report("fenced", {"partition": key})

    def later(self, partition: Partition, *, at_once: bool = False) -> Effects[None]:
        """Claim ``partition`` again after a while, longer each time; ``at_once``: without one."""
        now, chance = (yield Now()), (yield Chance())
        partition.setbacks += 1
        delay = 0.5 + self.settings.patience.delay(partition.setbacks, chance)
        partition.wake_at = now if at_once else now + delay

    def reclaim(self, now: float) -> Effects[None]:
        """Claim again what was let go and is still assigned."""
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
        owned = [p.move() for p in going if p.live]
        for partition in going:
            partition.on(Event.LOST if lost else Event.REVOKED)
            del self.partitions[partition.key]
            self._mirrored.pop(partition.key, None)
        if owned and not lost:
            yield from self.release(owned)

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
