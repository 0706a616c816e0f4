"""Lanes: the messages of one partition, shared out by key; each lane has a row of its own.

The row of the partition says up to where *everything* is done. A lane's row says up to where this
lane is done, which counts where it is more. So a message is done when it lies below the partition's
position, or below that of a lane which it belongs to; of whatever number of lanes that lane is one.
"""

from __future__ import annotations

from typing import NamedTuple
from zlib import crc32

from eoconsumer.message import Message

#: The most lanes that a partition may have: the numbers of lanes and lane share one field.
MOST_LANES = 100
_PLACES = 1_000


class Lane(NamedTuple):
    """Lane ``number`` of so many ``lanes``, from 1 on; 0 stands for the partition as a whole."""

    number: int
    lanes: int

    @property
    def row(self) -> int:
        """The number under which its row is stored: 0 for the partition's, 4003 for 3 of 4."""
        return self.lanes * _PLACES + self.number if self.number else 0

    @classmethod
    def of_row(cls, row: int) -> Lane:
        """Return the lane whose row is stored under that number."""
        lanes, number = divmod(row, _PLACES)
        return cls(number, lanes)

    def reader(self, owner: str) -> str:
        """Return the owner's name of the reader that has the lane, of which ``owner`` owns this."""
        return owner.removesuffix(f":{self.number}") if self.number else owner

    def owner(self, reader: str) -> str:
        """Return the owner's name of this lane of ``reader``."""
        return f"{reader}:{self.number}" if self.number else reader

    def has(self, message: Message) -> bool:
        """Whether ``message`` belongs to it."""
        return lane_number(message.raw_key, message.offset, self.lanes) == self.number


#: The partition as a whole, by a reader without lanes.
WHOLE = Lane(0, 0)


class Ahead(NamedTuple):
    """A lane's messages below ``upto`` are done, though the partition's position is lower.

    ``leader_epoch`` is that of the last of them, where it is known.
    """

    lane: Lane
    upto: int
    leader_epoch: int | None = None

    def covers(self, message: Message) -> bool:
        """Whether ``message`` is done by that."""
        return message.offset < self.upto and self.lane.has(message)


def lane_number(key: bytes | None, offset: int, lanes: int) -> int:
    """Return the lane, from 1 to ``lanes``, of a message: by its key, or its offset without one.

    The CRC-32 of the key (as in zlib) is the same in every process and version; where a message
    belongs to must never change. Messages without a key have no order among themselves.
    """
    return (offset if key is None else crc32(key)) % lanes + 1
