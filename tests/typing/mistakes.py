"""What a type checker must refuse in a user's program; each line says which rule finds it."""

from __future__ import annotations

from eoconsumer import Message, Record

message = Message(Record("orders", 0, 41, b"{}"), {"quantity": 3})
message.offset = 42  # type: ignore[misc]  # a message cannot be changed
message.partion  # type: ignore[attr-defined]  # noqa: B018 - a misspelled field
number: str = message.offset  # type: ignore[assignment]  # an offset is a number
key: str = message.key  # type: ignore[assignment]  # keys are always bytes or None
quantity: int = message.value  # type: ignore[assignment]  # the value has its own type
