"""What puts a position in doubt while its partition is read; it is claimed again then.

The claim looks closely, and decides. So a false alarm costs one claim, and no message.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from eoconsumer.core import identity
from eoconsumer.core.commit import Commits
from eoconsumer.core.effects import Effects, Glance, LookUp, ReadPositions, Report
from eoconsumer.core.guard import Sightings
from eoconsumer.core.identity import Found, Sighting
from eoconsumer.core.partition import Event, Partition, State
from eoconsumer.core.positions import Position
from eoconsumer.core.settings import Settings
from eoconsumer.errors import (
    BrokerError,
    EOConsumerError,
    PositionError,
    StoreError,
    TopicGone,
)
from eoconsumer.message import TopicPartition

#: Looks in which a partition stands still before messages are searched for behind its position.
STILL = 3
#: Doubts without a message in between before the reader gives up.
PATIENCE = 2

#: None: another leader has taken over, which may have had a shorter log.
Reasons: TypeAlias = dict[TopicPartition, EOConsumerError | None]


class Mark(NamedTuple):
    """Where a partition stood when Kafka was asked."""

    epoch: int
    position: int


class Doubts(Commits):
    """Looks after what is ours: now and then, and when the client complains."""

    def __init__(self, settings: Settings) -> None:
        """Have no doubts yet."""
        super().__init__(settings)
        self.drained = False  # whether a poll since the last look took all that there was
        self._complaints: dict[TopicPartition, PositionError] = {}
        self._marks: dict[TopicPartition, Mark] = {}
        self._look_at: float | None = None

    def position_failed(self, key: TopicPartition, error: PositionError) -> None:
        """Note what the client said of a partition that it fetches no more."""
        self._complaints[key] = error

    def look_after(self, now: float) -> Effects[None]:
        """Let go of what is in doubt, so that it is claimed again.

        Raises ``TopicGone``, and what is in doubt again and again without a message in between.
        """
        reasons = self._complained()
        if self._look_at is None:
            self._look_at = now + self.settings.identity_interval
        elif now >= self._look_at:
            reasons = (yield from self._glance(now)) | reasons
        if reasons:
            yield from self.finish()  # at-least-once: what was handled does not come again
        for key, reason in reasons.items():
            partition = self._live(key)
            if partition is not None:
                yield from self.doubt(partition, reason)

    def doubt(self, partition: Partition, reason: EOConsumerError | None) -> Effects[None]:
        """Let go of ``partition``; raises ``reason`` where it comes up again and again."""
        if reason is not None:
            partition.doubts += 1
            if partition.doubts > PATIENCE:
                raise reason
        said = "another leader has taken over" if reason is None else str(reason)
        yield Report("doubted", {"partition": partition.key, "reason": said})
        partition.on(Event.DOUBTED)
        yield from self.later(partition, at_once=partition.doubts <= 1)

    def _complained(self) -> Reasons:
        """Return what the client said since the last look."""
        complaints, self._complaints = self._complaints, {}
        for error in complaints.values():
            if isinstance(error, TopicGone) and self.settings.on_identity_change == "stop":
                raise error
        return dict(complaints)

    def _glance(self, now: float) -> Effects[Reasons]:
        """Ask without waiting; once the answer is here, return what is wrong by it."""
        if not self._marks:
            live = {key: p for key, p in self.partitions.items() if p.live}
            self._marks = {key: Mark(p.epoch, p.position) for key, p in live.items()}
        keys = tuple(self._marks.keys() | self.absent)
        answer = (yield Glance(keys)) if keys else {}
        if answer is None:
            return {}
        seen: Sightings = answer
        marks, self._marks = self._marks, {}
        self._look_at = now + self.settings.identity_interval
        yield from self._notice_claims()
        reasons: Reasons = {}
        waiting: dict[TopicPartition, int] = {}
        for key, sighting in seen.items():
            if self.is_gone(key, sighting):
                raise identity.gone(key)
            partition = self._live(key)
            if partition is None or key not in marks or partition.epoch != marks[key].epoch:
                continue  # claimed since, with a look of its own
            error = self._compared(partition, marks[key], sighting)
            if error is not None:
                reasons[key] = error
            elif identity.is_later(sighting.leader_epoch, partition.last_epoch):
                reasons[key] = None
            elif self._stands_still(partition, sighting):
                waiting[key] = partition.fetched
        self.drained = False
        return (yield from self._search(waiting, seen)) | reasons

    def _notice_claims(self) -> Effects[None]:
        """Let go of rows that another has claimed: an owner without messages is never refused.

        So a position that was moved on purpose (``eoconsumer offsets reset --fence``) is taken up
        by an idle consumer, too.
        """
        idle = tuple(key for key, p in self.partitions.items() if p.live and not p.pending)
        if not idle or self.settings.positions == "kafka":
            return
        try:
            rows: dict[TopicPartition, Position] = yield ReadPositions(idle)
        except StoreError:
            return  # there is nothing to write, and the next look comes
        claimed = [key for key, row in rows.items() if row.epoch != self.partitions[key].epoch]
        yield from self.fence(claimed)

    def _compared(self, partition: Partition, mark: Mark, seen: Sighting) -> EOConsumerError | None:
        """Return what is wrong with a position of ours.

        Not the beginning of the log: what the client has fetched may be gone there, and is not
        lost. Where it really is missing, the client complains.
        """
        group = self.settings.group
        return identity.changed(partition.key, partition.identity, seen.identity, group) or (
            identity.outside(partition.key, mark.position, seen, group)
            if seen.high is not None and mark.position > seen.high
            else None
        )

    def _stands_still(self, partition: Partition, seen: Sighting) -> bool:
        """Whether offsets wait behind the position, and for some looks nothing came of them.

        Only where the client was asked for more than it had: else the messages of others stand
        before these in its queue.
        """
        waits = (
            self.drained
            and partition.state is State.OWNED
            and not partition.pending
            and seen.high is not None
            and seen.high > partition.fetched
            and seen.high != partition.silent_at
        )
        partition.still = partition.still + 1 if waits else 0
        return partition.still >= STILL

    def _search(self, waiting: dict[TopicPartition, int], seen: Sightings) -> Effects[Reasons]:
        """Search for messages that the client should have fetched; gaps are no messages."""
        if not waiting:
            return {}
        answers: dict[TopicPartition, Found | None] = yield LookUp(waiting)
        reasons: Reasons = {}
        for key, offset in waiting.items():
            found = answers.get(key)
            if key not in answers:
                self.partitions[key].still = 0  # Kafka did not tell; it is asked again later
            elif found is not None and found.offset >= offset:
                reasons[key] = BrokerError(
                    f"{key}: there are messages from {found.offset} on, and the client does "
                    "not fetch them. Nothing was lost."
                )
            else:
                self.partitions[key].silent_at = seen[key].high
        return reasons

    def _live(self, key: TopicPartition) -> Partition | None:
        partition = self.partitions.get(key)
        return partition if partition is not None and partition.live else None
