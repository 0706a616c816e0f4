"""What librdkafka logs, at a pace that a person can read."""

from __future__ import annotations

import logging
import time

#: A broker that is gone is reported about 20 times a second by each client.
SECONDS = 10.0


class Seldom(logging.Filter):
    """Lets a record of each kind pass once in ``SECONDS``; more detailed levels pass always."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        super().__init__()
        self._said: dict[object, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Judge by the kind: librdkafka's facility, as FAIL or REQTMOUT, is the first word."""
        kind = record.getMessage().partition(" ")[0]
        now = time.monotonic()
        if record.levelno < logging.WARNING:
            return True
        if now - self._said.get(kind, -SECONDS) < SECONDS:
            return False
        self._said[kind] = now
        return True


_log = logging.getLogger("eoconsumer.kafka.librdkafka")
_log.addFilter(Seldom())


def librdkafka_log() -> logging.Logger:
    """Return the logger for clients: without one librdkafka prints to stderr."""
    return _log
