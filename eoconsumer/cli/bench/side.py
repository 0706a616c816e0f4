"""One side, run as a process of its own: ``python -m eoconsumer.cli.bench.side TASK``.

It prints ``ready`` when its partitions are there, and at its end what it measured, as JSON.
"""

from __future__ import annotations

import os
import sys
import threading

from eoconsumer.cli.bench.contestants import CONTESTANTS
from eoconsumer.cli.bench.meter import Meter
from eoconsumer.cli.bench.task import Task


def main(text: str) -> None:
    """Do what the task in ``text`` says, and report."""
    threading.Thread(target=_end_with_driver, daemon=True).start()
    task = Task.parse(text)
    meter = Meter(task.servers, task.messages)
    CONTESTANTS[task.contestant](task, meter)
    print(meter.result(task.contestant).json(), flush=True)  # noqa: T201 - read by the driver


def _end_with_driver() -> None:
    """Wait for the end of standard input, which is that of the driver, however it died."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
