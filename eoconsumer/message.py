"""What a handler sees: one message of Kafka, and the partition it came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, cast

# Comes with pydantic; typing.TypeVar knows no default before Python 3.13.
from typing_extensions import TypeVar

from eoconsumer.errors import DecodeError

V = TypeVar("V", default=Any)

Headers = Sequence[tuple[str, bytes | None]]


class TopicPartition(NamedTuple):
    """One partition of one topic. Equal to the plain tuple ``(topic, partition)``."""

    topic: str
    partition: int

    def __str__(self) -> str:
        """Show as ``topic[partition]``."""
        return f"{self.topic}[{self.partition}]"


class MessageKey(NamedTuple):
    """What a quarantine is about: the messages of one partition that have the same key."""

    partition: TopicPartition
    key: bytes


class RawMessage(Protocol):
    """What a message is made from; a ``confluent_kafka.Message`` fits."""

    def topic(self) -> str | None: ...  # noqa: D102 - as in confluent_kafka
    def partition(self) -> int | None: ...  # noqa: D102
    def offset(self) -> int | None: ...  # noqa: D102
    def timestamp(self) -> tuple[int, int]: ...  # noqa: D102
    def key(self) -> bytes | None: ...  # noqa: D102
    def value(self) -> bytes | None: ...  # noqa: D102
    def headers(self) -> Headers | None: ...  # noqa: D102
    def leader_epoch(self) -> int | None: ...  # noqa: D102


class Message(Generic[V]):
    """An immutable, lazy view of one message; ``value`` is what ``decode`` or ``value_type`` made.

    It reads Kafka's message on demand, so a field that a handler does not look at costs nothing.
    """

    __slots__ = ("__weakref__", "_raw", "_value")

    def __init__(self, raw: RawMessage, value: V) -> None:
        """View ``raw``; ``value`` is the decoded value (the raw bytes where nothing decodes)."""
        self._raw = raw
        self._value = value

    @property
    def topic(self) -> str:
        """The name of the topic."""
        return cast(str, self._raw.topic())

    @property
    def partition(self) -> int:
        """The number of the partition, from 0."""
        return cast(int, self._raw.partition())

    @property
    def offset(self) -> int:
        """The number of this message in its partition."""
        return cast(int, self._raw.offset())

    @property
    def timestamp(self) -> int | None:
        """Milliseconds since the epoch, as the producer or the broker set it; None if neither."""
        kind, milliseconds = self._raw.timestamp()
        return milliseconds if kind else None

    @property
    def leader_epoch(self) -> int | None:
        """The leader epoch (KIP-320) in which the broker took this message; None if unknown."""
        return self._raw.leader_epoch()

    @property
    def key(self) -> bytes | None:
        """The key, always as bytes; None if the message has none."""
        return self._raw.key()

    @property
    def value(self) -> V:
        """The decoded value; bytes, or None for a tombstone, where nothing decodes."""
        return self._value

    @property
    def headers(self) -> tuple[tuple[str, bytes | None], ...]:
        """All headers in their order; a name may stand there more than once."""
        return tuple(self._raw.headers() or ())

    @property
    def raw_key(self) -> bytes | None:
        """The bytes of the key as they lie in Kafka."""
        return self._raw.key()

    @property
    def raw_value(self) -> bytes | None:
        """The bytes of the value as they lie in Kafka, whatever ``value`` is."""
        return self._raw.value()

    def __repr__(self) -> str:
        """Name the place, never the payload: payloads have no business in logs."""
        return f"Message({self.topic}[{self.partition}]@{self.offset})"


def sizes_of(messages: Sequence[Message[Any]]) -> list[int]:
    """Return how many bytes the raw values have; in one place, since it is asked of all."""
    return [len(message._raw.value() or b"") for message in messages]


class UndecodedMessage(Message[Any]):
    """A message whose value could not be decoded: ``value`` raises, the raw fields are there."""

    __slots__ = ("_error",)

    def __init__(self, raw: RawMessage, error: Exception) -> None:
        """View ``raw``; ``error`` is what the decoder raised."""
        super().__init__(raw, None)
        self._error = error

    @property
    def value(self) -> Any:
        """Raise ``DecodeError``, so that the message is treated as one that fails."""
        # Only the kind of error is told: its text often quotes the payload.
        raise DecodeError(
            f"{self.topic}[{self.partition}]@{self.offset} could not be decoded "
            f"({type(self._error).__name__}).",
            offset=self.offset,
        ) from self._error


@dataclass(frozen=True, slots=True)
class Record:
    """A message made by hand: for tests of handlers, and for the in-memory source.

    ``Message(Record("orders", 0, 41, b"{}"), value={...})`` is what a handler would get.
    """

    topic_name: str
    partition_number: int
    offset_number: int
    payload: bytes | None = None
    key_bytes: bytes | None = None
    header_list: tuple[tuple[str, bytes | None], ...] = ()
    timestamp_ms: int | None = None
    epoch_number: int | None = None

    def topic(self) -> str:  # noqa: D102 - RawMessage
        return self.topic_name

    def partition(self) -> int:  # noqa: D102
        return self.partition_number

    def offset(self) -> int:  # noqa: D102
        return self.offset_number

    def timestamp(self) -> tuple[int, int]:  # noqa: D102
        return (0, 0) if self.timestamp_ms is None else (1, self.timestamp_ms)

    def key(self) -> bytes | None:  # noqa: D102
        return self.key_bytes

    def value(self) -> bytes | None:  # noqa: D102
        return self.payload

    def headers(self) -> Headers:  # noqa: D102
        return self.header_list

    def leader_epoch(self) -> int | None:  # noqa: D102
        return self.epoch_number
