"""What a handler sees: one message of Kafka, and the partition it came from."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import methodcaller
from typing import Any, Generic, NamedTuple, Protocol, cast, overload

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
    def __len__(self) -> int: ...  # noqa: D105 - of the value, in bytes


class Message(Generic[V]):
    """An immutable, lazy view of one message; ``value`` is what ``decode`` or ``value_type`` made.

    It reads Kafka's message on demand, so a field that a handler does not look at costs nothing.
    """

    __slots__ = ("_raw", "_value")

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

    def __eq__(self, other: object) -> bool:
        """Whether both are views of one message that was fetched: each look may make another."""
        return self._raw is other._raw if isinstance(other, Message) else NotImplemented

    def __hash__(self) -> int:
        """Return the same for all views of one message."""
        return id(self._raw)

    def __repr__(self) -> str:
        """Name the place, never the payload: payloads have no business in logs."""
        return f"Message({self.topic}[{self.partition}]@{self.offset})"


class UndecodedMessage(Message[Any]):
    """A message whose value could not be decoded: ``value`` raises, the raw fields are there."""

    __slots__ = ("_error",)

    def __init__(self, raw: RawMessage, error: BaseException) -> None:
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


class Undecoded(NamedTuple):
    """Stands where a value would be, for one that could not be decoded."""

    error: BaseException


class Messages(Sequence[Message[V]]):
    """Messages of one partition in offset order; a view of each is made when it is looked at.

    What is kept is Kafka's messages and the decoded values. A list of views would be as many more
    objects that live as long as their batch, and Python's garbage collector visits each of those
    several times: in a backlog that took longer than the handlers.
    """

    __slots__ = ("_raw", "_values", "_view")

    def __init__(self, raw: Sequence[RawMessage] = (), values: Sequence[Any] = ()) -> None:
        """Hold ``raw`` messages and their values; ``Undecoded`` where there is none."""
        self._raw, self._values = list(raw), list(values)
        whole = Undecoded not in set(map(type, self._values))
        self._view: Callable[[RawMessage, Any], Message[Any]] = Message if whole else _view

    @classmethod
    def of(cls, messages: Sequence[Message[V]]) -> Messages[V]:
        """Return ``messages`` in this form."""
        if isinstance(messages, Messages):
            return messages
        return cls([m._raw for m in messages], list(map(_value, messages)))

    @property
    def raw(self) -> Sequence[RawMessage]:
        """What Kafka's client returned."""
        return self._raw

    @property
    def are_decoded(self) -> bool:
        """Whether it is known that each of them could be decoded."""
        return self._view is Message

    def sizes(self) -> list[int]:
        """Return how many bytes the values have in Kafka."""
        return list(map(len, self._raw))

    def before(self, offset: int) -> int:
        """Return how many of them stand before ``offset``."""
        return bisect_left(self._raw, offset, key=_offset)

    def extend(self, more: Messages[V]) -> None:
        """Hold ``more`` behind these."""
        self._raw += more._raw
        self._values += more._values
        if self._view is Message:
            self._view = more._view

    def drop(self, count: int) -> None:
        """Let the first ``count`` go."""
        del self._raw[:count], self._values[:count]

    def __len__(self) -> int:
        """Count them."""
        return len(self._raw)

    def __iter__(self) -> Iterator[Message[V]]:
        """Make one view after the other."""
        return map(self._view, self._raw, self._values)

    @overload
    def __getitem__(self, index: int) -> Message[V]: ...
    @overload
    def __getitem__(self, index: slice) -> Messages[V]: ...
    def __getitem__(self, index: int | slice) -> Message[V] | Messages[V]:
        """Return a view of one, or some of them."""
        if isinstance(index, int):
            return self._view(self._raw[index], self._values[index])
        some: Messages[V] = Messages()
        some._raw, some._values, some._view = self._raw[index], self._values[index], self._view
        return some


def _view(raw: RawMessage, value: Any) -> Message[Any]:
    return (
        UndecodedMessage(raw, value.error) if isinstance(value, Undecoded) else Message(raw, value)
    )


def _value(message: Message[Any]) -> Any:
    return Undecoded(message._error) if isinstance(message, UndecodedMessage) else message._value


_offset: Callable[[RawMessage], int] = methodcaller("offset")


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

    def __len__(self) -> int:  # noqa: D105
        return len(self.payload or b"")
