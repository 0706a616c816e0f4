"""A source without Kafka: the messages that a test feeds, each partition in its own order."""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter

from eoconsumer.core.identity import Found, Sighting
from eoconsumer.core.positions import Start
from eoconsumer.errors import PositionError
from eoconsumer.message import OFFSET, Record, TopicPartition

#: How long a poll without messages waits, in seconds: the core counts on it not to be called in
#: vain all the time.
IDLE_SECONDS = 0.01


class FedSource:
    """One member of a group of one; it says that it is ``through`` when a poll finds nothing more.

    ``logs`` holds the messages of each partition, by offset. ``stored`` are the positions that the
    store has already: a log reaches that far at least, as it would in Kafka.
    """

    max_poll_seconds = math.inf

    def __init__(
        self,
        logs: Mapping[TopicPartition, Sequence[Record]],
        stored: Mapping[TopicPartition, int],
        through: Callable[[Mapping[TopicPartition, int]], None],
    ) -> None:
        """``through`` is called with the end of each log."""
        self._logs = logs
        self._ends = {
            key: max(log[-1].offset_number + 1, stored.get(key, 0)) for key, log in logs.items()
        }
        self._through = through
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._assign: Callable[[list[TopicPartition]], None] | None = None
        self.commit_failed: Callable[[list[TopicPartition]], None] = lambda _: None
        self.position_failed: Callable[[TopicPartition, PositionError], None] = lambda *_: None

    def subscribe(
        self,
        topics: Sequence[str],  # noqa: ARG002 - the protocol
        assigned: Callable[[list[TopicPartition]], None],
        revoked: Callable[[list[TopicPartition]], None],  # noqa: ARG002
        lost: Callable[[list[TopicPartition]], None],  # noqa: ARG002
    ) -> None:
        """Get everything at the first poll, for good."""
        self._assign = assigned

    def poll(self, messages: int, seconds: float) -> list[Record]:
        """Return what is there."""
        if self._assign is not None:
            assigned, self._assign = self._assign, None
            assigned(list(self._logs))
            return []
        taken: list[Record] = []
        for key, position in self._positions.items():
            if key not in self._paused:
                log = self._logs[key]
                first = bisect_left(log, position, key=itemgetter(OFFSET))
                fetched = log[first : first + messages - len(taken)]
                if fetched:
                    taken += fetched
                    self._positions[key] = fetched[-1].offset_number + 1
        if not taken:
            self._through(self._ends)
            time.sleep(min(seconds, IDLE_SECONDS))
        return taken

    def assign(
        self,
        positions: Mapping[TopicPartition, int],
        others: Mapping[TopicPartition, int],  # noqa: ARG002 - they go on by themselves
    ) -> None:
        """Fetch from these offsets on."""
        self._positions.update(positions)
        self._paused.difference_update(positions)

    def assignment(self) -> list[TopicPartition]:
        """Everything is ours."""
        return list(self._logs)

    def pause(self, keys: Iterable[TopicPartition]) -> None:
        """Return nothing of these for now."""
        self._paused.update(keys)

    def resume(self, keys: Iterable[TopicPartition]) -> None:
        """Return these again."""
        self._paused.difference_update(keys)

    def resolve(self, policies: Mapping[TopicPartition, str | int]) -> dict[TopicPartition, Start]:
        """Start at the beginning: what is fed is meant to be handled."""
        counts = {key.topic: key.partition + 1 for key in sorted(self._logs)}
        return {key: Start(0, counts[key.topic]) for key in policies}

    def inspect(self, keys: Sequence[TopicPartition]) -> dict[TopicPartition, Sighting]:
        """Tell where the logs end; they have no identity that a position could differ from."""
        return {key: Sighting(low=0, high=self._ends[key]) for key in keys}

    def glance(self, keys: Sequence[TopicPartition]) -> dict[TopicPartition, Sighting]:
        """Tell the same."""
        return self.inspect(keys)

    def look_up(self, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, Found | None]:
        """Nothing waits here that was not returned."""
        return dict.fromkeys(offsets)

    def commit(self, positions: Mapping[TopicPartition, int], *, wait: bool) -> None:
        """There is no group to tell."""

    def close(self) -> None:
        """There is nothing to leave."""
