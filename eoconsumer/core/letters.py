"""Dead letters: messages that failed for good, and those that wait behind them."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from eoconsumer.errors import DecodeError, chain, said
from eoconsumer.message import (
    Headers,
    Message,
    MessageKey,
    Record,
    TopicPartition,
    Undecoded,
)
from eoconsumer.redact import LONGEST_URL, redact_url

#: Characters of an error's text, and of its traceback, that are kept: more helps nobody.
MOST_TEXT = 100_000

#: The headers of a letter whose message had some that could not be decoded: it was buried without.
LOST = Undecoded(DecodeError("They could not be decoded when the message was buried."))


class Hold(Enum):
    """What a dead letter means for the later messages of its key."""

    NONE = auto()  #: they are handled
    BEGINS = auto()  #: its key is in quarantine from here on
    WAITS = auto()  #: it is one of them: not tried, it waits behind another letter of its key


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message to be buried, with what is known about why; ``attempts`` is 0 where it waits."""

    message: Message
    error: BaseException
    attempts: int
    hold: Hold = Hold.NONE

    @property
    def key(self) -> MessageKey | None:
        """The key of its message; None if it has none."""
        return key_of(self.message)

    @property
    def headers(self) -> Headers | None:
        """The headers of its message; None where they could not be decoded."""
        try:
            return self.message.headers
        except DecodeError:
            return None


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as it is kept: ``text`` names the causes too, since only they tell a decoder's."""

    type: str
    text: str
    traceback: str

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Put ``error`` into words."""
        kind = type(error)
        first, *others = chain(error)
        told = [said(first), *(f"{type(cause).__name__}: {said(cause)}" for cause in others)]
        trace = "".join(traceback.format_exception(error))
        return cls(
            f"{kind.__module__}.{kind.__qualname__}", _kept("; caused by ".join(told)), _kept(trace)
        )


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as it lies in the store; ``id`` is the store's own, unique in all groups."""

    id: str
    group: str
    record: Record
    failure: Failure
    attempts: int
    buried_at: datetime

    @classmethod
    def of(cls, id: str, group: str, letter: DeadLetter, buried_at: datetime) -> Letter:
        """Copy all that there is of ``letter``, as every store has to keep it."""
        m = letter.message
        record = Record(
            m.topic,
            m.partition,
            m.offset,
            m.raw_value,
            m.raw_key,
            LOST if letter.headers is None else letter.headers,
            m.timestamp,
        )
        return cls(id, group, record, Failure.of(letter.error), letter.attempts, buried_at)

    @property
    def message(self) -> Message:
        """The message, with its raw bytes as the value."""
        return Message(self.record, self.record.payload)

    @property
    def partition(self) -> TopicPartition:
        """Where the message lay."""
        return TopicPartition(self.record.topic_name, self.record.partition_number)

    @property
    def offset(self) -> int:
        """The offset of the message."""
        return self.record.offset_number

    @property
    def headers(self) -> Headers | None:
        """The headers of its message; None where they could not be decoded when it was buried."""
        headers = self.record.header_list
        return None if isinstance(headers, Undecoded) else headers

    @property
    def key(self) -> MessageKey | None:
        """The key of its message; None if it has none."""
        return key_of(self.message)

    def __str__(self) -> str:
        """Show as ``topic[partition]@offset``."""
        return f"{self.partition}@{self.offset}"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters are meant; what is None is not asked about."""

    group: str | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    id: str | None = None

    def __contains__(self, letter: Letter) -> bool:
        """Whether ``letter`` is meant."""
        topic, partition = letter.partition
        found = (letter.group, topic, partition, letter.offset, letter.id)
        wanted = (self.group, self.topic, self.partition, self.offset, self.id)
        return all(w is None or w == f for w, f in zip(wanted, found, strict=True))


#: All of them.
EVERY_LETTER = Selection()


def key_of(message: Message) -> MessageKey | None:
    """Return what a quarantine of ``message`` would be about; None for a message without a key."""
    key = message.raw_key
    return (
        None if key is None else MessageKey(TopicPartition(message.topic, message.partition), key)
    )


def _kept(text: str) -> str:
    """Return as much of ``text`` as is kept, without passwords, also where it is cut in one."""
    return redact_url(text[: MOST_TEXT + LONGEST_URL])[:MOST_TEXT]
