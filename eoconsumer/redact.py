"""Keeps our own credentials out of every text."""

from __future__ import annotations

import re

# Up to the last "@": a password that was not escaped may hold "/" and "@" itself. Bounded, so that
# the time is linear: a text may be megabytes of a message without any space.
LONGEST_URL = 2_000
_URL_PASSWORD = re.compile(rf"://\S{{0,{LONGEST_URL}}}@")
_LOGIN = re.compile(r"[^\s,'\[]+@")


def redact_url(text: str) -> str:
    """Return ``text`` with the user and password of every URL in it replaced by ``***``."""
    return _URL_PASSWORD.sub("://***@", text)


def redact_address(text: str) -> str:
    """Return ``text``, a list of Kafka's addresses or a short error, without what precedes an "@".

    Addresses have no user and password, yet some put them there.
    """
    return _LOGIN.sub("***@", text)
