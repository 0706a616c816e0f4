"""The loop that drives a generator of effects: do one, send its result back or throw its error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from eoconsumer.core.effects import Effect, Effects
from eoconsumer.errors import EOConsumerError

R = TypeVar("R")


def drive(effects: Effects[R], carry_out: Callable[[Effect], Any]) -> R:
    """Do what ``effects`` asks for, one after the other; return what it returns."""
    try:
        effect = next(effects)
        while True:
            try:
                result = carry_out(effect)
            except EOConsumerError as error:
                effect = effects.throw(error)
            else:
                effect = effects.send(result)
    except StopIteration as end:
        value: R = end.value
        return value
