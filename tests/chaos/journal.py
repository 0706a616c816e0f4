"""What happened, in JSON lines, each written at once; one file for each who tells."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any


class Journal:
    """An append-only file of JSON lines with monotonic and wall time, safe for threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._lock = threading.Lock()

    def write(self, said: str, at: float | None = None, **details: Any) -> float:
        """Write a line; return its moment, now by default, in this machine's monotonic seconds."""
        at = time.monotonic() if at is None else at
        line = json.dumps({"said": said, "at": at, "wall": time.time(), **details})
        with self._lock:
            if not self._file.closed:
                self._file.write(line + "\n")
        return at

    def close(self) -> None:
        with self._lock:
            self._file.close()
