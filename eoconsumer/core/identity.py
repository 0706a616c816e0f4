"""Whether a stored position still fits the log: what is stored, held against what Kafka says now.

Nothing here asks Kafka or the store; nothing here decides alone: it gives a verdict, and where the
settings say how to go on, the offset to go on at.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from eoconsumer.core.positions import UNKNOWN, Identity, Position
from eoconsumer.core.settings import Settings
from eoconsumer.errors import (
    ClusterChanged,
    LogTruncated,
    OffsetOutOfRange,
    PositionError,
    TopicGone,
    TopicRecreated,
)
from eoconsumer.message import TopicPartition

#: The position belongs to another log than the one that is there.
OTHER_LOG = (TopicRecreated, ClusterChanged)


@dataclass(frozen=True, slots=True)
class Sighting:
    """What Kafka says of one partition now; None where it did not say.

    ``low`` is the first offset that the log still has, ``high`` the one behind its last message;
    ``leader_epoch`` is the newest in the log, that of its present leader.
    """

    identity: Identity = UNKNOWN
    low: int | None = None
    high: int | None = None
    leader_epoch: int | None = None
    exists: bool = True


class Found(NamedTuple):
    """A message that was looked up: its place, and the leader epoch in which it was written."""

    offset: int
    leader_epoch: int | None


def trouble(
    key: TopicPartition, row: Position, seen: Sighting, before: Found | None, group: str
) -> PositionError | None:
    """Return what is wrong with the position of ``row``, if anything is.

    ``before`` is the last message before the position, where it was looked up.
    """
    return (
        changed(key, row.identity, seen.identity, group)
        or outside(key, row.next_offset, seen, group)
        or truncated(key, row, before, seen, group)
    )


def changed(
    key: TopicPartition, stored: Identity, seen: Identity, group: str
) -> PositionError | None:
    """Return the error of a position that belongs to another topic, or to another cluster."""
    if _differ(stored.cluster_id, seen.cluster_id):
        return ClusterChanged(
            f"{key}: its position was stored for the cluster {stored.cluster_id}, and the brokers "
            f"belong to {seen.cluster_id}. No message of it was handled. Check the address of the "
            f"brokers; or begin with this cluster's topic: {_reset(group, key, 'earliest')}",
            partition=key,
        )
    if _differ(stored.topic_id, seen.topic_id):
        return TopicRecreated(
            f"{key}: the topic was deleted and created anew: its position was stored for the topic "
            f"id {stored.topic_id}, and the id is {seen.topic_id} now. No message of it was "
            "handled, but for what a running consumer read before it looked. To begin with the "
            f"new topic: {_reset(group, key, 'earliest')}",
            partition=key,
        )
    return None


def outside(
    key: TopicPartition, position: int, seen: Sighting, group: str
) -> OffsetOutOfRange | None:
    """Return the error of a position before the first or behind the last offset of the log."""
    if seen.low is None or seen.high is None or seen.low <= position <= seen.high:
        return None
    log = f"the log, which goes from {seen.low} to {seen.high}"
    if position < seen.low:
        missing, target = seen.low - position, "earliest"
        said = f"before {log}: {missing} messages are missing, gone by retention or deleted"
    else:
        missing, target = position - seen.high, "latest"
        said = f"behind {log}: {missing} messages that were handled are missing in it"
    return OffsetOutOfRange(
        f"{key}: the stored position {position} lies outside, {said}. Nothing was handled from "
        f"there on. To go on without them: {_reset(group, key, target)}",
        partition=key,
        missing=missing,
    )


def truncated(
    key: TopicPartition, row: Position, before: Found | None, seen: Sighting, group: str
) -> LogTruncated | None:
    """Return the error of a log that was cut below the position and has grown again.

    Leader epochs never go back within a log. So no message before the position may be of a later
    one than the last that was handled, wherever there are gaps (compaction, markers).
    """
    position, stored = row.next_offset, row.leader_epoch
    if before is None or before.offset >= position:
        return None
    if not is_later(before.leader_epoch, stored):
        return None
    return LogTruncated(
        f"{key}: the log was cut below the stored position {position} and has grown again: the "
        f"message at {before.offset} was written in leader epoch {before.leader_epoch}, and the "
        f"last one handled in {stored}. Nothing was handled from there on. Others have taken the "
        f"place of messages before it. To go on behind what is there now: "
        f"{_reset(group, key, 'latest')}",
        partition=key,
        missing=max(0, (seen.high or 0) - position),
    )


def is_worth_a_look(row: Position, seen: Sighting) -> bool:
    """Whether the log may have been cut since: another leader, and a last message to look at."""
    low = 0 if seen.low is None else seen.low
    return row.next_offset > low and is_later(seen.leader_epoch, row.leader_epoch)


def gone(key: TopicPartition) -> TopicGone:
    """Return the error of a topic that does not exist any more."""
    return TopicGone(
        f"{key} does not exist any more; nothing more of it was handled. Create the topic, or take "
        'it out of topics=. With on_identity_change="restart" a consumer waits for its next life.',
        partition=key,
    )


def allowed(error: PositionError, settings: Settings) -> bool:
    """Whether the settings let a consumer go on after ``error``."""
    if isinstance(error, TopicGone):
        return False
    if isinstance(error, OTHER_LOG):
        return settings.on_identity_change == "restart"
    return settings.on_data_loss == "continue"


def settled(row: Position, seen: Sighting, error: PositionError | None) -> Position | None:
    """Return where to go on, in which log; None where Kafka did not tell.

    After an error: in another log at its beginning, in the same one where messages are next.
    """
    if seen.low is None or seen.high is None:
        return None
    if isinstance(error, OTHER_LOG):
        return replace(row, next_offset=seen.low, identity=seen.identity, leader_epoch=None)
    same = replace(row, identity=completed(seen.identity, row.identity))
    if error is None:
        return same
    offset = seen.low if row.next_offset < seen.low else seen.high
    return replace(same, next_offset=offset, leader_epoch=None)


def is_later(epoch: int | None, than: int | None) -> bool:
    """Whether a leader epoch is surely later than another."""
    return epoch is not None and than is not None and epoch > than


def completed(seen: Identity, stored: Identity) -> Identity:
    """Return what is seen, and what is stored where it was not told."""
    return Identity(seen.topic_id or stored.topic_id, seen.cluster_id or stored.cluster_id)


def _differ(stored: str | None, seen: str | None) -> bool:
    return stored is not None and seen is not None and stored != seen


def _reset(group: str, key: TopicPartition, where: str) -> str:
    return f"eoconsumer offsets reset --group {group} --topic {key.topic} --to-{where} --execute"
