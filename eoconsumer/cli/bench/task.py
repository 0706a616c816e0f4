"""What one side is told to do, and what it reports: values that go from process to process."""

from __future__ import annotations

import json
from collections.abc import Mapping
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

    ``seconds``: from the first message to the last commit. ``commits``: how many there were.
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
