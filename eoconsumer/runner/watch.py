"""Counts what happens, logs it, and passes it on to the user's hooks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any, Protocol

from eoconsumer.message import TopicPartition
from eoconsumer.redact import redact_url
from eoconsumer.telemetry import Events, Snapshot, Trace

log = logging.getLogger("eoconsumer.reader")
traces = logging.getLogger("eoconsumer.trace")

_COUNTED = {
    "fenced": "fenced",
    "doubted": "doubts",
    "identity_changed": "identity_changes",
    "retry": "retries",
    "skipped": "skipped",
    "buried": "buried",
    "store_retry": "store_retries",
    "stage_failed": "stage_failures",
    "restarted": "restarts",
    "claimed": "claims",
}
_LOGGED: dict[str, tuple[int, str]] = {
    "claimed": (logging.INFO, "claimed %(positions)s"),
    "fenced": (
        logging.WARNING,
        "fenced: another consumer owns %(partition)s now; it was let go, nothing is lost",
    ),
    "doubted": (logging.WARNING, "%(partition)s is claimed again: %(reason)s"),
    "identity_changed": (logging.ERROR, "it goes on at %(position)s all the same: %(error)s"),
    "data_lost": (
        logging.ERROR,
        "%(missing)s messages are missing; it goes on at %(position)s all the same: %(error)s",
    ),
    "retry": (
        logging.WARNING,
        "%(partition)s@%(offset)s failed (try %(attempt)s): %(error)r; next try in %(delay).2f s",
    ),
    "skipped": (logging.ERROR, "skipped %(message)s after %(attempts)s tries: %(error)r"),
    "buried": (logging.ERROR, "buried %(message)s after %(attempts)s tries: %(error)r"),
    "parked": (logging.INFO, "parked %(messages)s behind earlier dead letters of their keys"),
    "lifted": (logging.INFO, "a quarantine was lifted; %(partition)s handles these keys again"),
    "store_retry": (logging.INFO, "the database asks for another try (%(tries)s): %(error)s"),
    "not_ready": (logging.WARNING, "the database is not ready (try %(tries)s): %(error)s"),
    "in_doubt_resolved": (
        logging.WARNING,
        "a commit's answer was lost; it was found %(committed)s after %(tries)s tries",
    ),
    "advance_failed": (logging.WARNING, "the last positions were not stored: %(error)s"),
    "release_failed": (logging.INFO, "the rows could not be marked as released: %(error)s"),
    "restarted": (
        logging.WARNING,
        "reader restarts (%(attempt)s) in %(delay).1f s after: %(error)s",
    ),
}


class Settable(Protocol):
    """A flag of either driver."""

    def set(self) -> None:
        """Set it, from any thread."""


class Watch:
    """Counters for all readers of a consumer; thread-safe."""

    def __init__(
        self, events: Events, changed: Settable | None = None, *, lanes: bool = False
    ) -> None:
        """Pass on to ``events``; ``changed`` is set with each of them.

        With ``lanes`` a commit says nothing of the messages below it.
        """
        self._events = events
        self._lanes = lanes
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._positions: dict[TopicPartition, int] = {}
        hooked = getattr(type(events), "trace", Events.trace) is not Events.trace
        self.tracing = hooked or traces.isEnabledFor(logging.DEBUG)
        self._changed = changed

    def report(self, name: str, details: Mapping[str, Any]) -> None:
        """Count, log and pass on one thing that happened."""
        with self._lock:
            self._count(name, details)
        if name in _LOGGED:
            level, text = _LOGGED[name]
            if log.isEnabledFor(level):
                error = details.get("error")
                shown = {} if error is None else {"error": _Shown(error)}
                log.log(level, text, {**details, **shown})
        try:
            getattr(self._events, name, _no_hook)(**details)
        except Exception:
            log.exception("the hook %s failed; the consumer goes on", name)
        if self._changed is not None:
            self._changed.set()

    def trace(self, trace: Trace) -> None:
        """Pass on what one stage did to one message."""
        fields = {name: getattr(trace, name) for name in Trace.__slots__}
        traces.debug("%s", fields, extra={"trace": fields})
        try:
            self._events.trace(trace)
        except Exception:
            log.exception("the hook trace failed; the consumer goes on")

    def snapshot(self) -> Snapshot:
        """Return the counters and positions as they are now."""
        with self._lock:
            return Snapshot(positions=dict(self._positions), **self._counts)

    def _count(self, name: str, details: Mapping[str, Any]) -> None:
        if name == "committed":
            runs = details["runs"]
            self._add("batches", 1)
            self._add("committed", sum(len(run) for run in runs))
            if not self._lanes:
                self._positions.update({run.partition: run.upto for run in runs})
        elif name == "parked":
            self._add("parked", len(details["messages"]))
        elif name == "in_doubt_resolved":
            self._add("in_doubt_committed" if details["committed"] else "in_doubt_repeated", 1)
        elif name == "data_lost":
            self._add("missing", details["missing"])
        elif name in _COUNTED:
            self._add(_COUNTED[name], 1)
        if name in ("claimed", "levelled"):
            self._positions.update(details["positions"])

    def _add(self, counter: str, number: int) -> None:
        self._counts[counter] = self._counts.get(counter, 0) + number


class _Shown:
    """An error as a line of the log shows it: without the passwords of URLs."""

    def __init__(self, error: object) -> None:
        self._error = error

    def __str__(self) -> str:
        return redact_url(str(self._error))

    def __repr__(self) -> str:
        return redact_url(repr(self._error))


def _no_hook(**_: object) -> None:
    """Stand for a method that the user's hook object does not have."""
