"""Keeps our own credentials out of every text."""

from __future__ import annotations

import re

# Up to the last "@": a password that was not escaped may hold "/" and "@" itself.
_URL_PASSWORD = re.compile(r"(?P<head>[a-z][a-z0-9+.-]*://)\S*@", re.IGNORECASE)


def redact_url(text: str) -> str:
    """Return ``text`` with the user and password of every URL in it replaced by ``***``."""
    return _URL_PASSWORD.sub(r"\g<head>***@", text)
