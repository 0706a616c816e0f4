"""Keeps our own credentials out of every text: by a list of what may be shown, not of what not."""

from __future__ import annotations

import re
from collections.abc import Mapping

# Up to the last "@": a password that was not escaped may hold "/" and "@" itself.
_URL_PASSWORD = re.compile(r"(?P<head>[a-z][a-z0-9+.-]*://)\S*@", re.IGNORECASE)

#: Settings of librdkafka whose values are safe to show.
SHOWN = frozenset(
    {
        "auto.offset.reset",
        "client.id",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "group.instance.id",
        "group.protocol",
        "isolation.level",
        "max.poll.interval.ms",
        "partition.assignment.strategy",
        "sasl.mechanism",
        "sasl.mechanisms",
        "security.protocol",
        "session.timeout.ms",
    }
)


def redact_url(text: str) -> str:
    """Return ``text`` with the user and password of every URL in it replaced by ``***``."""
    return _URL_PASSWORD.sub(r"\g<head>***@", text)


def redact_settings(settings: Mapping[str, object]) -> dict[str, object]:
    """Return ``settings`` with every value replaced by ``***`` that is not known to be harmless."""
    return {name: value if name in SHOWN else "***" for name, value in settings.items()}
