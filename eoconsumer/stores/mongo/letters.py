"""Dead letters as documents: nothing of the message is lost, whatever bytes it holds."""

from __future__ import annotations

import traceback
from base64 import b64encode
from datetime import UTC, datetime

from bson.int64 import Int64

from eoconsumer.core.positions import DeadLetter
from eoconsumer.stores.mongo.concerns import Document

#: A document holds 16 MB; the message must fit beside its error.
MOST_TEXT = 100_000


def document(group: str, letter: DeadLetter) -> Document:
    """Return the document for ``letter``: bytes as base64, what is None stays None."""
    message, error = letter.message, letter.error
    timestamp = message.timestamp
    return {
        "group": group,
        "topic": message.topic,
        "partition": message.partition,
        "offset": Int64(message.offset),
        "timestamp": None if timestamp is None else Int64(timestamp),
        "key": _base64(message.raw_key),
        "value": _base64(message.raw_value),
        "headers": [[_text(name), _base64(value)] for name, value in message.headers],
        "error": {
            "type": _text(f"{type(error).__module__}.{type(error).__qualname__}"),
            "text": _text(str(error)),
            "traceback": _text("".join(traceback.format_exception(error))),
        },
        "attempts": letter.attempts,
        "buried_at": datetime.now(UTC),
    }


def _base64(data: bytes | None) -> str | None:
    return None if data is None else b64encode(data).decode("ascii")


def _text(text: str) -> str:
    """Return ``text`` so that BSON can hold it: lone surrogates become escapes."""
    return text[:MOST_TEXT].encode("utf-8", "backslashreplace").decode("utf-8")
