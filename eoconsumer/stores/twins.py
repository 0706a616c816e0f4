"""One logic for two drivers: coroutines that never wait where the driver blocks.

A store's logic is written once, as coroutines over ``await answer(collection.find_one(...))``. A
driver of asyncio returns something to await there. A blocking driver has done its work when it
returns, so nothing in such a coroutine ever waits, and ``finished`` runs it to its end in one step.
"""

from __future__ import annotations

from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Coroutine,
    Iterable,
    Iterator,
)
from inspect import isawaitable
from typing import Any, TypeVar

T = TypeVar("T")


async def answer(called: Awaitable[T] | T) -> T:
    """Return what a driver's call returned, or what that has to be awaited for."""
    return await called if isawaitable(called) else called


async def each(cursor: AsyncIterable[T] | Iterable[T]) -> AsyncIterator[T]:
    """Yield what is in a driver's cursor."""
    if isinstance(cursor, AsyncIterable):
        async for value in cursor:
            yield value
    else:
        for value in cursor:
            yield value


def finished(steps: Coroutine[Any, Any, T]) -> T:
    """Return what ``steps`` returns, which must have nothing to wait for."""
    try:
        steps.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    steps.close()
    raise RuntimeError("A blocking driver returned something to wait for.")


def iterated(values: AsyncIterator[T]) -> Iterator[T]:
    """Yield what ``values`` yields, which must have nothing to wait for."""

    async def following() -> T:
        return await anext(values)

    while True:
        try:
            value = finished(following())
        except StopAsyncIteration:
            return
        yield value
