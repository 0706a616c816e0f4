"""An event that a signal handler may set."""

from __future__ import annotations

import threading


class Flag:
    """Like ``threading.Event``, which locks itself out where a signal interrupts it.

    1. the main thread is inside ``clear`` or ``wait`` and holds the lock, 2. a signal handler runs
    on the same thread and calls ``set``, 3. that waits for the lock for ever. This lock may be
    taken twice by one thread. A ``set`` between 1. and the wait proper is seen when the wait ends.
    """

    def __init__(self) -> None:
        """Begin unset."""
        self._is_set = False
        self._changed = threading.Condition(threading.RLock())

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._is_set

    def set(self) -> None:
        """Set it and wake who waits."""
        with self._changed:
            self._is_set = True
            self._changed.notify_all()

    def clear(self) -> None:
        """Unset it."""
        self._is_set = False

    def wait(self, seconds: float) -> bool:
        """Wait until it is set, at most ``seconds``; return whether it is."""
        with self._changed:
            if not self._is_set:
                self._changed.wait(seconds)
            return self._is_set
