"""How a dead letter is shown: what producers sent must not steer the terminal that shows it."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

from eoconsumer.core.letters import Letter
from eoconsumer.message import Headers

#: Characters of an error that a line has room for.
WIDTH = 80


def as_line(letter: Letter) -> str:
    """Return a line with its id, its place, and why it is there."""
    failure, attempts = letter.failure, letter.attempts
    kind = failure.type.rpartition(".")[2]
    text = " ".join(plain(failure.text).split())
    why = f"{attempts} tries, {kind}: {text}" if attempts else "waits behind another of its key"
    key = _short(letter.record.key_bytes)
    return f"{letter.id}  {letter.group}  {letter}  {key}  {why[:WIDTH]}"


def as_text(letter: Letter) -> str:
    """Return all of it, for people."""
    record, failure = letter.record, letter.failure
    sent = record.timestamp_ms
    lines = [
        f"{letter} of group {letter.group}",
        f"id         {letter.id}",
        f"buried     {letter.buried_at.isoformat(timespec='milliseconds')}",
        f"attempts   {letter.attempts}",
        f"timestamp  {_moment(sent)}",
        f"key        {_shown(record.key_bytes)}",
        *_headers(letter.headers),
        f"value      {_shown(record.payload)}",
        f"error      {plain(failure.type)}: {plain(failure.text)}",
        "",
        plain(failure.traceback),
    ]
    return "\n".join(lines)


def as_value(letter: Letter) -> dict[str, Any]:
    """Return all of it, for JSON: bytes are ``{"text": ...}`` or ``{"base64": ...}``."""
    record, failure = letter.record, letter.failure
    return {
        "id": letter.id,
        "group": letter.group,
        "topic": record.topic_name,
        "partition": record.partition_number,
        "offset": record.offset_number,
        "timestamp": record.timestamp_ms,
        "key": _value(record.key_bytes),
        "value": _value(record.payload),
        "headers": None
        if letter.headers is None
        else [[name, _value(value)] for name, value in letter.headers],
        "error": {
            "type": failure.type,
            "text": failure.text,
            "traceback": failure.traceback,
        },
        "attempts": letter.attempts,
        "buried_at": letter.buried_at.isoformat(),
    }


def _headers(headers: Headers | None) -> list[str]:
    if headers is None:
        return ["headers    could not be decoded: the name of one is not UTF-8"]
    return [f"header     {plain(name)}: {_shown(value)}" for name, value in headers]


def plain(text: str) -> str:
    """Return ``text`` with everything escaped that a terminal would obey."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def _value(data: bytes | None) -> dict[str, str] | None:
    if data is None:
        return None
    try:
        return {"text": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {"base64": b64encode(data).decode("ascii")}


def _shown(data: bytes | None) -> str:
    if data is None:
        return "none"
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = "\x00"
    return text if plain(text) == text else f"base64 {b64encode(data).decode('ascii')}"


def _short(data: bytes | None) -> str:
    shown = " ".join(_shown(data).split())
    return shown if len(shown) <= 40 else f"{shown[:40]}..."


def _moment(milliseconds: int | None) -> str:
    if milliseconds is None:
        return "none"
    try:
        when = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):  # the producer may set any number
        return str(milliseconds)
    return f"{when.isoformat(timespec='milliseconds')} ({milliseconds})"
