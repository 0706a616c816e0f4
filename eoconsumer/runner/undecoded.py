"""Messages that could not be decoded: no handler sees one, whether it looks at the value or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from eoconsumer.message import Message, Messages, UndecodedMessage


def first_undecoded(messages: Sequence[Message[Any]]) -> UndecodedMessage | None:
    """Return the first of ``messages`` that could not be decoded, if there is one."""
    if isinstance(messages, Messages) and messages.are_decoded:
        return None
    return next((each for each in messages if isinstance(each, UndecodedMessage)), None)


def reading(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``call`` behind a look at the value, which raises ``DecodeError`` if there is none."""

    def handler(message: Message[Any], *session: Any) -> Any:
        _ = message.value
        return call(message, *session)

    return handler
