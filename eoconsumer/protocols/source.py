"""What a source of messages must do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from eoconsumer.core.identity import Found, Sighting
from eoconsumer.core.positions import Start
from eoconsumer.errors import PositionError
from eoconsumer.message import RawMessage, TopicPartition


class Source(Protocol):
    """A reader's half of a consumer group; polled by one thread at a time."""

    max_poll_seconds: float
    commit_failed: Callable[[list[TopicPartition]], None]
    position_failed: Callable[[TopicPartition, PositionError], None]

    def subscribe(
        self,
        topics: Sequence[str],
        assigned: Callable[[list[TopicPartition]], None],
        revoked: Callable[[list[TopicPartition]], None],
        lost: Callable[[list[TopicPartition]], None],
    ) -> None:
        """Join the group; the callbacks run inside ``poll``, on the thread that polls."""

    def poll(self, messages: int, seconds: float) -> Sequence[RawMessage]:
        """Return what is ready, at most ``messages``; wait up to ``seconds`` for the first.

        A partition that cannot be fetched from its position is named to ``position_failed``.
        Raises ``BrokerError``.
        """

    def assign(
        self, positions: Mapping[TopicPartition, int], others: Mapping[TopicPartition, int]
    ) -> None:
        """Fetch ``positions`` from these offsets on; ``others`` go on from theirs."""

    def assignment(self) -> list[TopicPartition]:
        """Return what is assigned at present."""

    def pause(self, keys: Iterable[TopicPartition]) -> None:
        """Fetch nothing of these partitions for now."""

    def resume(self, keys: Iterable[TopicPartition]) -> None:
        """Fetch these partitions again."""

    def resolve(self, policies: Mapping[TopicPartition, str | int]) -> dict[TopicPartition, Start]:
        """Turn start policies into offsets; "group" without a commit is left out."""

    def inspect(self, keys: Sequence[TopicPartition]) -> dict[TopicPartition, Sighting]:
        """Ask what Kafka says of these partitions now; wait some seconds at most."""

    def glance(self, keys: Sequence[TopicPartition]) -> dict[TopicPartition, Sighting] | None:
        """Ask the same without waiting; None until the answer is here."""

    def look_up(self, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, Found | None]:
        """Read the first message at or behind each offset, beside what is being fetched.

        None: there is none, the log ends. Waits some seconds at most; what is not told by then is
        left out.
        """

    def commit(self, positions: Mapping[TopicPartition, int], *, wait: bool) -> None:
        """Commit to the group; with ``wait`` raise ``BrokerError`` where it was refused."""

    def close(self) -> None:
        """Leave the group."""
