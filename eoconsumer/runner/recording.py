"""What handlers returned (form "writes"): sent together, and kept for a replay."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import Any
from weakref import WeakKeyDictionary

from eoconsumer.core.effects import RunFailed
from eoconsumer.errors import TransientStoreError, WriteFailed
from eoconsumer.message import Message, TopicPartition


class Recording:
    """The writes of the batch that is being handled, and of those that were rolled back.

    Nothing is made for each message but what its handler made: thousands of small objects would
    keep Python's garbage collector busy.
    """

    def __init__(self) -> None:
        """Have nothing recorded."""
        self._writes: list[Any] = []
        self._owners: list[Message[Any]] = []  # of each write its message
        self._silent: list[Message[Any]] = []  # those whose handlers returned nothing
        self._several: dict[type, bool] = {}  # which types of results are iterables
        self._known: WeakKeyDictionary[Message[Any], list[Any]] = WeakKeyDictionary()

    @property
    def writes(self) -> Sequence[Any]:
        """What was recorded since the start, in order."""
        return self._writes

    @property
    def remembered(self) -> int:
        """How many messages are remembered from batches that were rolled back."""
        return len(self._known)

    def start(self) -> None:
        """Begin with another batch."""
        self._writes, self._owners, self._silent = [], [], []

    def keep(self) -> None:
        """Remember what was recorded: its transaction was rolled back, and will be done again."""
        for message in self._silent:
            self._known[message] = []
        for message, write in zip(self._owners, self._writes, strict=False):
            self._known.setdefault(message, []).append(write)
        self.start()

    def knows(self, message: Message[Any]) -> bool:
        """Record again what is remembered of ``message``, if it is; its handler is not asked."""
        known = self._known.pop(message, None)
        if known is not None:
            self.add(message, known)
        return known is not None

    def add(self, message: Message[Any], returned: Any) -> None:
        """Record what the handler of ``message`` returned: nothing, a write, or an iterable."""
        kind = type(returned)
        several = self._several.get(kind)
        if several is None:
            several = self._several[kind] = hasattr(kind, "__iter__")
        if several:
            before = len(self._owners)
            self._writes.extend(returned)
            count = len(self._writes) - before
            self._owners.extend(repeat(message, count))
            if not count:
                self._silent.append(message)
        elif returned is None:
            self._silent.append(message)
        else:
            self._writes.append(returned)
            self._owners.append(message)

    def refused(self, error: WriteFailed | TransientStoreError, *, inside: bool) -> Exception:
        """Return what to raise, with its cause, where the recorded writes failed.

        ``inside``: in a transaction.
        """
        if isinstance(error, TransientStoreError) and inside:
            return error
        index = error.index if isinstance(error, WriteFailed) else None
        done = isinstance(error, WriteFailed) and error.before_are_done
        found = RunFailed(*self._place(index), before="handled" if done else "perhaps")
        found.__cause__ = error.__cause__ if isinstance(error, WriteFailed) else error
        return found

    def _place(self, index: int | None) -> tuple[TopicPartition | None, int | None]:
        """Return partition and offset of the message that a write is of, if that is known."""
        if index is not None:
            message = self._owners[index]
            return TopicPartition(message.topic, message.partition), message.offset
        partitions = {TopicPartition(m.topic, m.partition) for m in self._owners}
        return (partitions.pop() if len(partitions) == 1 else None), None
