"""SIGINT and SIGTERM make a consumer finish what it has in hand."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

log = logging.getLogger("eoconsumer.consumer")

STOPPING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def signals_stop(
    stop: Callable[[], None], *, unless: Callable[[Any], bool] = lambda _: False
) -> Iterator[None]:
    """Call ``stop`` on a signal; only the main thread may say so.

    A signal is left alone whose present handler says ``unless``.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stopping(number: int, _: object) -> None:
        log.info("%s: finishing what is in hand", signal.Signals(number).name)
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
