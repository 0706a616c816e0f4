"""SIGINT and SIGTERM make a consumer finish what it has in hand."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def signals_stop(
    stop: Callable[[], None], *, unless: Callable[[Any], bool] = lambda _: False
) -> Iterator[None]:
    """Call ``stop`` on a signal; only the main thread may say so.

    A signal is left alone whose present handler says ``unless``. Nothing is logged in the handler:
    1. the main thread writes a line of a log, 2. a signal comes inside of that, 3. a second line
    is refused (a reentrant call), and the error would leave the handler before it has stopped.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stopping(*_: object) -> None:
        stop()

    free = [number for number in STOPPING if not unless(signal.getsignal(number))]
    before = {number: signal.signal(number, stopping) for number in free}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_taken(handler: Any) -> bool:
    """Whether a web server, or whoever else runs our loop, handles a signal itself.

    Not taken are Python's own handlers, that of ``asyncio.run``, which would cancel us, and what a
    shell ignores for those that it starts in the background.
    """
    runs_us = getattr(getattr(handler, "func", None), "__self__", None)
    nobodys = (signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler)
    return handler not in nobodys and not isinstance(runs_us, asyncio.Runner)
