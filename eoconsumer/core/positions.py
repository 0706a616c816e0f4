"""What is stored for a partition, and what is asked of the store about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from eoconsumer.core.lanes import Ahead
from eoconsumer.message import TopicPartition


@dataclass(frozen=True, slots=True)
class Identity:
    """Which log a position belongs to; None where Kafka did not tell.

    ``topic_id`` is given to a topic when it is created (KIP-516), ``cluster_id`` to a cluster.
    """

    topic_id: str | None = None
    cluster_id: str | None = None


UNKNOWN = Identity()


@dataclass(frozen=True, slots=True)
class Position:
    """The stored row of one partition, as its owner sees it after a claim.

    ``next_offset`` is the offset of the next message to read; ``epoch`` grows by one at each
    claim; ``handed_over`` says that Kafka's group holds the position (``positions="kafka"``).
    ``leader_epoch`` is that of the last message before the position, where it is known.
    ``quarantined`` are the keys whose messages wait as dead letters; only a claim tells them, and
    ``ahead``: what lanes have done beyond the position. ``begun`` is the epoch at which the
    position was last set by anything but an advance; a lane's row counts only where it has the
    same, so that what lanes did does not outlive a position that is set anew.
    """

    next_offset: int
    epoch: int
    owner: str = ""
    handed_over: bool = False
    identity: Identity = UNKNOWN
    leader_epoch: int | None = None
    quarantined: frozenset[bytes] = frozenset()
    ahead: tuple[Ahead, ...] = ()
    begun: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Start:
    """Where a partition starts that has no row yet: what its row is made from, at the claim.

    ``partitions`` is how many partitions the topic has now; the store remembers it for the group,
    so that partitions added later are known as such. Where ``replaces`` is an epoch, a row exists
    and its position is replaced, if it still has that epoch (a hand-over to or from Kafka's
    group); else a row that exists already is left as it is: somebody else made it meanwhile.
    ``identity`` and ``leader_epoch`` are written with the position. ``goes_on``: it is the same
    log, further on or as before, and what lanes have done beyond stays done.

    The row of a lane is claimed with a start, always: ``under`` is the epoch at which its reader
    claimed the partition, and becomes the lane's. ``begun`` is that of the partition's row; where
    the lane's own has the same, and stands further on, it keeps its position.
    """

    next_offset: int
    partitions: int
    handed_over: bool = False
    replaces: int | None = None
    identity: Identity = UNKNOWN
    leader_epoch: int | None = None
    goes_on: bool = False
    under: int | None = None
    begun: int = 0


@dataclass(frozen=True, slots=True)
class Claims:
    """What a claim brought: rows that are ours now, and for how many partitions a topic is known.

    A partition that was asked for and is not in ``positions`` has no row yet (or was claimed by
    another owner in between, where a ``Start`` was given). ``known`` maps a topic to the number of
    partitions it had when this group saw it first.
    """

    positions: Mapping[TopicPartition, Position]
    known: Mapping[str, int] = field(default_factory=dict)


class Move(NamedTuple):
    """One partition's step from ``expected`` to ``upto``, valid only under ``epoch``.

    ``leader_epoch`` is that of the last message before ``upto``; it is stored with the position.
    """

    partition: TopicPartition
    epoch: int
    expected: int
    upto: int
    leader_epoch: int | None = None
