"""Many schedules at once, over the cores of the machine, added up."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

from eoconsumer.testing.simulator import Outcome, Plan, simulate

CHUNK = 500


@dataclass
class Tally:
    """What many schedules did together; ``wrong`` says which seeds to replay, and why."""

    lost: int = 0
    doubled: int = 0
    broken_claims: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    fenced_owners: int = 0
    wrong: dict[str, list[int]] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        self.lost += outcome.lost
        self.doubled += outcome.doubled
        self.broken_claims += outcome.broken_claims
        self.faults += outcome.faults
        self.fenced_owners += outcome.fenced_owners
        for what in ("lost", "doubled", "out_of_order", "broken_claims"):
            if getattr(outcome, what):
                self.wrong.setdefault(what, []).append(outcome.seed)
        if not outcome.finished:
            self.wrong.setdefault("unfinished", []).append(outcome.seed)

    def without(self, *allowed: str) -> str:
        """Say what went wrong beside what is ``allowed``; empty if nothing did."""
        seeds = {what: some[:5] for what, some in self.wrong.items() if what not in allowed}
        return f"replay with simulate(seed): {seeds}" if seeds else ""


def play(seeds: Iterable[int], plan: Plan) -> Tally:
    """Play ``seeds`` in this process."""
    tally = Tally()
    for seed in seeds:
        try:
            tally.add(simulate(seed, plan))
        except Exception as error:
            error.add_note(f"replay with simulate({seed}, {plan})")
            raise
    return tally


def play_all(count: int, plan: Plan) -> Tally:
    """Play the seeds from 0 to ``count`` on every core."""
    whole = Tally()
    chunks = [range(first, min(first + CHUNK, count)) for first in range(0, count, CHUNK)]
    workers = min(os.cpu_count() or 1, len(chunks))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        parts: Iterator[Tally] = pool.map(play, chunks, [plan] * len(chunks))
        for part in parts:
            whole.lost += part.lost
            whole.doubled += part.doubled
            whole.broken_claims += part.broken_claims
            whole.faults += part.faults
            whole.fenced_owners += part.fenced_owners
            for what, seeds in part.wrong.items():
                whole.wrong.setdefault(what, []).extend(seeds)
    return whole
