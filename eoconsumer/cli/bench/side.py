"""One side, run as a process of its own: ``python -m eoconsumer.cli.bench.side TASK``.

It prints ``up`` when all is imported, and begins when it is told ``go``; it prints ``ready`` when
its partitions are there, and at its end what it measured, as JSON. Told ``stop`` it ends early.
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
    task = Task.parse(text)
    meter = Meter(task.servers, task.messages)
    _tell("up")
    if os.read(0, 64) != b"go\n":
        return
    threading.Thread(target=_obey, args=(meter,), daemon=True).start()
    CONTESTANTS[task.contestant](task, meter)
    _tell(meter.result(task.contestant).json())


def _obey(meter: Meter) -> None:
    """Stop when told to, and end with the driver, however that died."""
    while os.read(0, 64):
        meter.stop()
    os._exit(1)


def _tell(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - read by the driver


if __name__ == "__main__":
    main(sys.argv[1])
