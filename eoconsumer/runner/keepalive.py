"""Keeps a reader in its group while a handler takes long, and orders rebalances that come then.

A second thread polls for the reader only when the reader has not polled for a third of
``max.poll.interval.ms``. What can happen in such a poll, and what is done:

* messages come: they are kept for the reader, never dropped;
* partitions are assigned: they are taken without fetching; the reader claims them when it is back;
* partitions are revoked: Kafka waits until the reader is between two batches, so that what is in
  flight commits before the next owner claims; then they are given up as always;
* partitions are lost: the reader's next advance of them is refused here, before the fence would.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from eoconsumer.message import RawMessage, TopicPartition, place

if TYPE_CHECKING:
    from eoconsumer.runner.fetching import Fetching

log = logging.getLogger("eoconsumer.reader")


class KeepAlive:
    """The second thread of one reader."""

    def __init__(self, reader: Fetching) -> None:
        """Watch over ``reader``, by its Kafka half."""
        self._reader = reader
        self._interval = reader.source.max_poll_seconds / 3
        self._thread = threading.Thread(target=self._watch, name="eoconsumer-alive", daemon=True)
        self._over = threading.Event()
        self._lock = threading.RLock()  # held by whoever polls, also inside its callbacks
        self._between = threading.Event()  # the reader is between two batches
        self._polled_at = time.monotonic()
        self._kept: list[RawMessage] = []
        self._moved: set[TopicPartition] = set()  # named by a callback since the last claim
        self._paused: list[TopicPartition] = []
        self._later: list[tuple[str, list[TopicPartition]]] = []
        self.lost_in_flight: set[TopicPartition] = set()

    def start(self) -> None:
        """Begin to watch, where a long silence would have consequences."""
        if self._interval < math.inf:
            self._thread.start()

    def stop(self) -> None:
        """End, once no poll of ours is under way."""
        self._between.set()
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    # --- on the reader's thread ---------------------------------------------------------------

    @contextmanager
    def polling(self) -> Iterator[None]:
        """Let the reader poll, and claim what came by it (or by a poll of ours before)."""
        self._between.set()
        with self._lock:
            self._between.clear()
            self._kept = self.still_ours(self._kept)
            self._settle()
            if self._paused:
                held = self._reader.flow.held
                self._reader.source.resume(key for key in self._paused if key not in held)
                self._paused = []
            yield
            self._settle()
            self._polled_at = time.monotonic()

    def still_ours(self, messages: Sequence[RawMessage]) -> list[RawMessage]:
        """Drop what was fetched for partitions that a callback named meanwhile.

        1. A poll returns messages 10 to 13 of a partition, 2. the partition is lost and assigned
        again, 3. its claim says 0: adding 10 to 13 after that would skip 0 to 9, and nobody could
        tell, since offsets have gaps. Whatever is claimed is fetched anew from its position.
        """
        moved = self._moved
        if not moved:
            return list(messages)
        return [m for m in messages if place(m) not in moved]

    def _settle(self) -> None:
        """Do what a callback of Kafka has left to the reader, in its order."""
        self._moved.clear()
        self.lost_in_flight.clear()
        flow = self._reader.flow
        while self._later:
            kind, keys = self._later.pop(0)
            lost = kind == "lost"
            self._reader.rebalance(flow.revoked(keys, lost=True) if lost else flow.assigned(keys))

    @contextmanager
    def client(self) -> Iterator[bool]:
        """Tell whether the reader may use the client now, outside of its poll.

        1. A poll of ours has called back and waits there for the reader to be between two batches,
        2. any call of the client waits for that poll: together they would wait for ever.
        """
        free = self._lock.acquire(blocking=False)
        try:
            yield free
        finally:
            if free:
                self._lock.release()

    def take_kept(self) -> list[RawMessage]:
        """Return what our polls brought."""
        kept, self._kept = self._kept, []
        return kept

    # --- callbacks of Kafka, on the thread that polls -----------------------------------------

    def assigned(self, keys: list[TopicPartition]) -> None:
        """Leave the claim to the reader, when its poll is over: a callback must not block."""
        self._moved.update(keys)
        self._later.append(("assigned", keys))

    def revoked(self, keys: list[TopicPartition]) -> None:
        """Give up, once nothing of ours is in flight."""
        self._moved.update(keys)
        keys = self._forget(keys)
        if not keys:
            return  # none of them was claimed, so there is nothing to wait for
        if self._is_here() and not self._between.wait(self._reader.source.max_poll_seconds):
            self.lost(keys)
        else:
            self._reader.rebalance(self._reader.flow.revoked(keys))

    def lost(self, keys: list[TopicPartition]) -> None:
        """Drop: these belong to another consumer already."""
        self._moved.update(keys)
        keys = self._forget(keys)
        if self._is_here():
            self.lost_in_flight.update(keys)
            self._later.append(("lost", keys))
        else:
            self._reader.rebalance(self._reader.flow.revoked(keys, lost=True))

    def _is_here(self) -> bool:
        return threading.current_thread() is self._thread

    def _forget(self, keys: list[TopicPartition]) -> list[TopicPartition]:
        """Take ``keys`` out of the assignments that wait; return those that did not wait."""
        waiting = {key for kind, later in self._later for key in later if kind == "assigned"}
        self._later = [
            (kind, [k for k in later if kind != "assigned" or k not in keys])
            for kind, later in self._later
        ]
        return [key for key in keys if key not in waiting]

    # --- on our own thread --------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._over.wait(min(1.0, self._interval / 4)):
            silent = time.monotonic() - self._polled_at
            if silent >= self._interval and self._lock.acquire(blocking=False):
                try:
                    log.info("a batch has been at work for %.0f s; polling for its reader", silent)
                    source = self._reader.source
                    self._pause_all()
                    self._kept += source.poll(1, 0.0)
                    self._pause_all()  # what this poll assigned
                    self._polled_at = time.monotonic()
                except Exception as error:
                    # The reader's own poll says so, too: the source keeps what has ended it.
                    log.warning("polling for a busy reader failed: %s", error)
                finally:
                    self._lock.release()

    def _pause_all(self) -> None:
        source = self._reader.source
        fresh = [key for key in source.assignment() if key not in self._paused]
        source.pause(fresh)
        self._paused += fresh
