"""What a dealer and its lanes want done: how they tell each other, by way of their driver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from eoconsumer.core.positions import Position
from eoconsumer.message import Message, TopicPartition


class Dealt(NamedTuple):
    """How the lanes stand.

    ``levels`` says of each partition up to where all lanes are done with it; None where one of them
    was fenced. ``full`` are the partitions whose messages wait in a lane that has too many.
    """

    levels: Mapping[TopicPartition, int | None]
    full: frozenset[TopicPartition]


@dataclass(frozen=True, slots=True)
class Open:  # -> None
    """Let the lanes claim their rows of these partitions, under the partitions' own."""

    rows: Mapping[TopicPartition, Position]


@dataclass(frozen=True, slots=True)
class Deal:  # -> Dealt ! what ended a lane
    """Give messages to their lanes, and learn how far these are."""

    messages: Mapping[TopicPartition, Sequence[Message]]


@dataclass(frozen=True, slots=True)
class Close:  # -> Dealt
    """Let the lanes give these partitions up; wait for that unless they are ``lost``."""

    partitions: tuple[TopicPartition, ...]
    lost: bool


@dataclass(frozen=True, slots=True)
class Done:  # -> None
    """Say that this lane is done with a partition up to ``upto``; None: it was fenced."""

    partition: TopicPartition
    epoch: int
    upto: int | None
