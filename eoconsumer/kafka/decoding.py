"""Deserializers of confluent-kafka, used as decoders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from confluent_kafka.serialization import Deserializer, MessageField, SerializationContext

from eoconsumer.message import Message


def adapted(decode: Callable[[Message[Any]], Any] | Deserializer) -> Callable[[Message[Any]], Any]:
    """Return ``decode`` as a function of a message; a ``Deserializer`` takes bytes and context."""
    if not isinstance(decode, Deserializer):
        return decode
    deserialize = decode

    def of_message(message: Message[Any]) -> Any:
        context = SerializationContext(message.topic, MessageField.VALUE, list(message.headers))
        return deserialize(message.raw_value, context)

    return of_message
