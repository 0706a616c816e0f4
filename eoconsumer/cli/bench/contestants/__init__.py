"""The contestants: different consumers that do the same work.

Each is a function of a ``Task`` and a ``Meter`` that returns when all messages are committed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from eoconsumer.cli.bench.contestants import hand, library, single
from eoconsumer.cli.bench.meter import Meter
from eoconsumer.cli.bench.task import Task

Contestant: TypeAlias = Callable[[Task, Meter], None]

CONTESTANTS: Mapping[str, Contestant] = {
    "limit": hand.limit,
    "eager": hand.eager,
    "writes": library.writes,
    "batch": library.batch,
    "handle": library.handle,
    "memory": library.memory,
    "one-by-one": single.one_by_one,
}
