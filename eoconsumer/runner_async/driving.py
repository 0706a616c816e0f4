"""The loop that drives a generator of effects; each is awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from eoconsumer.core.effects import Effect, Effects
from eoconsumer.errors import EOConsumerError
from eoconsumer.runner_async.waiting import cancellations

R = TypeVar("R")


async def drive(
    effects: Effects[R],
    carry_out: Callable[[Effect], Awaitable[Any]],
    *,
    heeded: int | None = None,
) -> R:
    """Do what ``effects`` asks for, one after the other; return what it returns.

    A cancellation of this task may get lost in an effect: 1. a driver awaits an answer with
    ``asyncio.wait_for``, 2. the answer comes, 3. before the task runs again it is cancelled, 4. on
    Python 3.11 ``wait_for`` returns the answer (https://github.com/python/cpython/issues/86296).
    So it is looked for behind each effect. ``heeded``: how many cancellations of the task have been
    heeded before; by default, all that there were.
    """
    if heeded is None:
        heeded = cancellations()
    try:
        effect = next(effects)
        while True:
            try:
                result = await carry_out(effect)
                if cancellations() > heeded:
                    raise asyncio.CancelledError
            except EOConsumerError as error:
                effect = effects.throw(error)
            else:
                effect = effects.send(result)
    except StopIteration as end:
        value: R = end.value
        return value
