"""What a handler sees: one message of Kafka, and the partition it came from."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter, lt
from typing import Any, Final, Generic, NamedTuple, TypeAlias, overload

# Comes with pydantic; typing.TypeVar knows no default before Python 3.13.
from typing_extensions import TypeVar

from eoconsumer.errors import DecodeError

V = TypeVar("V", default=Any)

Headers: TypeAlias = tuple[tuple[str, bytes | None], ...]


class Undecoded(NamedTuple):
    """Stands where a value, or headers, would be that could not be decoded."""

    error: BaseException


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


#: What Kafka has of a message, in the order of the fields of ``Record``. Python's garbage collector
#: does not watch plain tuples of plain values. Other objects that live as long as a batch, one for
#: each message, would make it visit all objects of the process again and again.
RawMessage: TypeAlias = tuple[
    str, int, int, bytes | None, bytes | None, Headers | Undecoded, int | None, int | None
]
TOPIC: Final = 0
PARTITION: Final = 1
OFFSET: Final = 2
PAYLOAD: Final = 3
KEY: Final = 4
HEADERS: Final = 5
TIMESTAMP: Final = 6
EPOCH: Final = 7


class Record(NamedTuple):
    """A message made by hand: for tests of handlers, and for the in-memory source.

    ``Message(Record("orders", 0, 41, b"{}"), value={...})`` is what a handler would get.
    """

    topic_name: str
    partition_number: int
    offset_number: int
    payload: bytes | None = None
    key_bytes: bytes | None = None
    header_list: Headers | Undecoded = ()
    timestamp_ms: int | None = None
    epoch_number: int | None = None


class Message(Generic[V]):
    """An immutable view of one message; ``value`` is what ``decode`` or ``value_type`` made."""

    __slots__ = ("_raw", "_value")

    def __init__(self, raw: RawMessage, value: V) -> None:
        """View ``raw``; ``value`` is the decoded value (the raw bytes where nothing decodes)."""
        self._raw = raw
        self._value = value

    @property
    def topic(self) -> str:
        """The name of the topic."""
        return self._raw[TOPIC]

    @property
    def partition(self) -> int:
        """The number of the partition, from 0."""
        return self._raw[PARTITION]

    @property
    def offset(self) -> int:
        """The number of this message in its partition."""
        return self._raw[OFFSET]

    @property
    def timestamp(self) -> int | None:
        """Milliseconds since the epoch, as the producer or the broker set it; None if neither."""
        return self._raw[TIMESTAMP]

    @property
    def leader_epoch(self) -> int | None:
        """The leader epoch (KIP-320) in which the broker took this message; None if unknown."""
        return self._raw[EPOCH]

    @property
    def key(self) -> bytes | None:
        """The key, always as bytes; None if the message has none."""
        return self._raw[KEY]

    @property
    def value(self) -> V:
        """The decoded value; bytes, or None for a tombstone, where nothing decodes."""
        return self._value

    @property
    def headers(self) -> Headers:
        """All headers in their order; a name may stand there more than once.

        Raises ``DecodeError`` where a name is not UTF-8.
        """
        headers = self._raw[HEADERS]
        if isinstance(headers, Undecoded):
            raise DecodeError(
                f"The headers of {self!r} could not be decoded: the name of one is not UTF-8.",
                offset=self.offset,
                partition=TopicPartition(*place(self._raw)),
            ) from headers.error
        return tuple(headers or ())

    @property
    def raw_key(self) -> bytes | None:
        """The bytes of the key as they lie in Kafka."""
        return self._raw[KEY]

    @property
    def raw_value(self) -> bytes | None:
        """The bytes of the value as they lie in Kafka, whatever ``value`` is."""
        return self._raw[PAYLOAD]

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
            partition=TopicPartition(*place(self._raw)),
        ) from self._error


class Messages(Sequence[Message[V]]):
    """Messages of one partition in offset order; a view of each is made when it is looked at.

    What is kept is what Kafka has of them, and the decoded values. A list of views would be as many
    objects more for the garbage collector.
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
        """What Kafka has of them."""
        return self._raw

    @property
    def are_decoded(self) -> bool:
        """Whether it is known that each of them could be decoded."""
        return self._view is Message

    def sizes(self) -> list[int]:
        """Return how many bytes the values have in Kafka."""
        return [len(raw[PAYLOAD] or b"") for raw in self._raw]

    def growing(self, least: int) -> Messages[V]:
        """Return those from the offset ``least`` on, each further than all before it."""
        offsets = list(map(_offset, self._raw))
        if all(map(lt, [least - 1, *offsets], offsets)):
            return self
        places = []
        for place, offset in enumerate(offsets):
            if offset >= least:
                places.append(place)
                least = offset + 1
        return Messages([self._raw[p] for p in places], [self._values[p] for p in places])

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


_offset: Callable[[RawMessage], int] = itemgetter(OFFSET)
#: Where a message is from: equal to its ``TopicPartition``.
place: Callable[[RawMessage], tuple[str, int]] = itemgetter(TOPIC, PARTITION)
