"""The loop that drives a generator of effects; each is awaited."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from eoconsumer.core.effects import Effect, Effects
from eoconsumer.errors import EOConsumerError

R = TypeVar("R")


async def drive(effects: Effects[R], carry_out: Callable[[Effect], Awaitable[Any]]) -> R:
    """Do what ``effects`` asks for, one after the other; return what it returns."""
    try:
        effect = next(effects)
        while True:
            try:
                result = await carry_out(effect)
            except EOConsumerError as error:
                effect = effects.throw(error)
            else:
                effect = effects.send(result)
    except StopIteration as end:
        value: R = end.value
        return value
