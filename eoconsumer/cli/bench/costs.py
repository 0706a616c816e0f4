"""What processes have used: CPU time and memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil


def cpu_used(processes: Mapping[str, Iterable[int]]) -> dict[str, float]:
    """Return the seconds of CPU time that processes have used so far, by the name of their kind."""
    used = {}
    for name, pids in processes.items():
        times = [psutil.Process(pid).cpu_times() for pid in pids]
        used[name] = sum(each.user + each.system for each in times)
    return used


def peak_memory(pid: int) -> int:
    """Return the most memory that a process has ever held, in bytes; where unknown what it holds.

    Not from ``getrusage``: on Linux that begins with what the parent process held.
    """
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return int(psutil.Process(pid).memory_info().rss)
