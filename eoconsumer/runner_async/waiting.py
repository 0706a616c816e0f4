"""Waiting on an event loop: for what any thread may set, and for what must come to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

#: What a coroutine of the user may fail with; see ``not_ours``.
FAILURES = (Exception, asyncio.CancelledError)


class LoopFlag:
    """An event that a thread or a signal handler may set, and that tasks of one loop wait for."""

    def __init__(self) -> None:
        """Begin unset, on the loop that is running."""
        self._loop = asyncio.get_running_loop()
        self._is_set = False
        self._event = asyncio.Event()

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._is_set

    def set(self) -> None:
        """Set it and wake who waits."""
        self._is_set = True
        self._loop.call_soon_threadsafe(self._wake)

    def clear(self) -> None:
        """Unset it."""
        self._is_set = False
        self._event.clear()

    async def wait(self, seconds: float) -> bool:
        """Wait until it is set, at most ``seconds``; return whether it is."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        return self._is_set

    def _wake(self) -> None:
        if self._is_set:  # else it was cleared in between
            self._event.set()


def cancellations() -> int:
    """Return how often somebody has cancelled the task that asks."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def not_ours(error: BaseException) -> None:
    """Raise ``error`` again if it is the cancellation of this task, and no failure of the user's.

    1. A handler awaits a task, 2. somebody cancels that, 3. CancelledError leaves the handler
    though nobody has cancelled us. Let through, it would end ``run`` as if it had been cancelled,
    which a TaskGroup takes for an order and does not tell.
    """
    if isinstance(error, asyncio.CancelledError) and cancellations():
        raise error


async def to_its_end(future: asyncio.Future[T]) -> T:
    """Return the result of what cannot be interrupted; a cancellation is raised behind it."""
    cancelled = await all_done([future])
    if cancelled is not None:
        future.exception()  # seen, and less than the cancellation
        raise cancelled
    return future.result()


async def all_done(
    futures: Collection[asyncio.Future[Any]], *, cancel: bool = False
) -> asyncio.CancelledError | None:
    """Wait until all are done, however often this is cancelled; return the first cancellation.

    ``cancel``: pass that one on to them, and no more: they are giving up in order then.
    """
    cancelled: asyncio.CancelledError | None = None
    while left := [future for future in futures if not future.done()]:
        try:
            await asyncio.wait(left)
        except asyncio.CancelledError as error:
            if cancelled is None and cancel:
                for future in left:
                    future.cancel()
            cancelled = cancelled or error
    return cancelled
