"""What handlers returned (form "writes"): sent together, and kept for a replay."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Container, Iterable, Sequence
from itertools import accumulate
from typing import Any, cast

from eoconsumer.core.effects import Run, RunFailed
from eoconsumer.errors import TransientStoreError, WriteFailed
from eoconsumer.message import OFFSET, Message, Messages, RawMessage, TopicPartition, place
from eoconsumer.protocols import Buffer, Buffering

#: After how many messages their writes go into the buffer: soon enough that what is not kept of
#: them is gone before the garbage collector looks at it (it does with each 700th new object, and
#: a list with a tuple and a dictionary are three).
PART = 100


class Recording:
    """The writes of the batch that is being handled, and of those that were rolled back.

    Nothing is made for each message but what its handler made: thousands of small objects would
    keep Python's garbage collector busy.
    """

    def __init__(self, session: object = None) -> None:
        """Have nothing recorded; ``session`` may have buffers of its own for what waits."""
        self._buffer = session.buffer if isinstance(session, Buffering) else list[Any]
        self._writes: Buffer = self._buffer()
        self._fresh: list[Any] = []  # what is not in the buffer yet
        self._asked: list[RawMessage] = []  # whose handlers are asked, in order
        self._counts: list[int] = []  # how many writes each of these returned, as far as we are
        self.single: set[type] = set()  # types of results that are one write
        # By identity, and so kept with it: a message that is fetched again is another one.
        self._known: dict[int, tuple[RawMessage, Sequence[Any]]] = {}

    @property
    def writes(self) -> Sequence[Any]:
        """What was recorded since the start, in order."""
        self._put_away()
        return cast(Sequence[Any], self._writes)

    @property
    def remembered(self) -> int:
        """How many messages are remembered from batches that were rolled back."""
        return len(self._known)

    def start(self) -> None:
        """Begin with another batch."""
        self._writes, self._fresh = self._buffer(), []
        self._asked, self._counts = [], []

    def keep(self) -> None:
        """Remember what was recorded: its transaction was rolled back, and will be done again."""
        writes, ends = self.writes, accumulate(self._counts)
        for raw, count, end in zip(self._asked, self._counts, ends, strict=False):
            self._known[id(raw)] = raw, writes[end - count : end]
        self.start()

    def settle(self, runs: Iterable[Run]) -> None:
        """Remember nothing of ``runs``, which are committed; some messages were passed over."""
        for run in runs if self._known else ():
            for raw in Messages.of(run.messages).raw:
                self._known.pop(id(raw), None)

    def forget(self, partitions: Container[tuple[str, int]]) -> None:
        """Remember nothing of ``partitions``: their messages are dropped, or come anew."""
        for key, (raw, _) in list(self._known.items()):
            if place(raw) in partitions:
                del self._known[key]

    def expect(self, messages: Sequence[Message[Any]]) -> None:
        """Note whose handlers are asked next."""
        del self._asked[len(self._counts) :]  # those that a failure kept from being asked
        self._asked += Messages.of(messages).raw

    @property
    def next(self) -> RawMessage:
        """The message whose handler is asked next, or has just failed."""
        return self._asked[len(self._counts)]

    def ask(self, messages: Sequence[Message[Any]], call: Callable[[Message[Any]], Any]) -> None:
        """Record what ``call`` returns for each of ``messages``; its error leaves at ``next``."""
        self.expect(messages)
        again = bool(self._known)
        for start in range(0, len(messages), PART):
            fresh, counts, single = self._fresh, self._counts, self.single
            for message in messages[start : start + PART]:
                if again and self.knows_next():
                    continue
                returned = call(message)
                kind = type(returned)
                if kind in single:  # most handlers return one write, or a list of them
                    fresh.append(returned)
                    counts.append(1)
                elif kind is list:
                    fresh.extend(returned)
                    counts.append(len(returned))
                else:
                    self.add(returned)
            self._put_away()

    def _put_away(self) -> None:
        if self._fresh:
            self._writes.extend(self._fresh)
            self._fresh.clear()

    def knows_next(self) -> bool:
        """Record again what is remembered of the next message, if it is; nobody is asked then."""
        known = self._known.pop(id(self.next), None)
        if known is not None:
            self.add(known[1])
        return known is not None

    def add(self, returned: Any) -> None:
        """Record what was returned for the next message: nothing, a write, or an iterable."""
        fresh, kind = self._fresh, type(returned)
        if kind in self.single:
            fresh.append(returned)
            self._counts.append(1)
        else:
            before = len(fresh)
            if hasattr(kind, "__iter__"):
                fresh.extend(returned)
            elif returned is not None:
                self.single.add(kind)
                fresh.append(returned)
            self._counts.append(len(fresh) - before)
        if len(fresh) >= PART:
            self._put_away()

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
            raw = self._asked[bisect_right(list(accumulate(self._counts)), index)]
            return _partition(raw), raw[OFFSET]
        writing = zip(self._asked, self._counts, strict=False)
        partitions = {_partition(raw) for raw, count in writing if count}
        return (partitions.pop() if len(partitions) == 1 else None), None


def _partition(raw: RawMessage) -> TopicPartition:
    return TopicPartition(*place(raw))
