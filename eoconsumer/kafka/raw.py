"""From the messages of Kafka's client to what is kept of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from sys import intern
from typing import Any, cast

from confluent_kafka import Message

from eoconsumer.message import Headers, RawMessage, Undecoded


def raw_messages(messages: Sequence[Message]) -> list[RawMessage]:
    """Return what is kept of ``messages``, none of which is an error.

    Column by column: so most of it is done without a step of Python for each message.
    """
    times = [milliseconds if kind else None for kind, milliseconds in map(_timestamp, messages)]
    topics = cast(Iterable[str], map(_topic, messages))
    columns = zip(
        map(intern, topics),  # each message has its name as a text of its own
        map(_partition, messages),
        map(_offset, messages),
        map(_value, messages),
        map(_key, messages),
        _headers_of(messages),
        times,
        map(_leader_epoch, messages),
        strict=False,  # of missing headers there is no end
    )
    return cast(list[RawMessage], list(columns))


def _headers_of(messages: Sequence[Message]) -> Iterable[Headers | Undecoded]:
    found: list[Any] = []
    each = map(_headers, messages)
    while len(found) < len(messages):
        try:
            found += each  # as far as it goes
        except (SystemError, UnicodeError) as error:
            # The name of a header is not UTF-8. The client must not be asked twice: the second time
            # it returns a list with a hole in it (2.16).
            found.append(Undecoded(error))
    if not any(found):
        return repeat(())
    return [each if type(each) is Undecoded else tuple(each or ()) for each in found]


_topic, _partition, _offset = Message.topic, Message.partition, Message.offset
_value, _key = Message.value, Message.key
_headers = cast(Callable[[Message], list[tuple[str, bytes | None]] | None], Message.headers)
_timestamp, _leader_epoch = Message.timestamp, Message.leader_epoch
