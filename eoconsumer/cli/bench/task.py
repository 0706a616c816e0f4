"""What one side is told to do, and what it reports: values that go from process to process."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Task:
    """One run of one contestant, in a process of its own.

    ``messages`` are there to be worked on (or will come); ``servers`` are the process ids whose CPU
    time is measured, by name; ``settings`` are those of the contestant.
    """

    contestant: str
    bootstrap: str
    store: str
    topic: str
    partitions: int
    messages: int
    group: str
    servers: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def json(self) -> str:
        """Return it as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what ``json`` wrote."""
        values = json.loads(text)
        servers = {name: tuple(pids) for name, pids in values["servers"].items()}
        return cls(**values | {"servers": servers})


@dataclass(frozen=True, slots=True)
class Result:
    """What one side measured.

    ``seconds``: from the first message, ``began`` (monotonic), to the last commit. ``commits``: how
    many there were.
    ``first``: seconds from the start of the consumer, with its process up, to the first message.
    ``cpu``: seconds of CPU time, of the "client" and of each kind of server. ``memory``: the most
    that the client held, in bytes. ``latency``: from produced to committed, in ms, by percentile;
    empty where it was not asked for.
    """

    contestant: str
    messages: int
    seconds: float
    commits: int
    first: float
    cpu: Mapping[str, float]
    memory: int
    latency: Mapping[str, float] = field(default_factory=dict)
    began: float = 0.0

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds

    def json(self) -> str:
        """Return it as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what ``json`` wrote."""
        return cls(**json.loads(text))


def merged(results: Sequence[Result]) -> Result:
    """Return what several processes did at the same time as one result.

    CPU time of the clients adds up, and that of the servers is the same seen by all; ``memory`` is
    that of the largest process. One that had nothing to do does not count.
    """
    busy = [each for each in results if each.messages]
    began = min(each.began for each in busy)
    cpu = {name: max(each.cpu[name] for each in busy) for name in busy[0].cpu}
    return Result(
        contestant=busy[0].contestant,
        messages=sum(each.messages for each in busy),
        seconds=max(each.began + each.seconds for each in busy) - began,
        commits=sum(each.commits for each in busy),
        first=min(each.first for each in busy),
        cpu=cpu | {"client": sum(each.cpu["client"] for each in busy)},
        memory=max(each.memory for each in busy),
        began=began,
    )
