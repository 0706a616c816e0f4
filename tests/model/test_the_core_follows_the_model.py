"""The model is of the code: whatever the real core does in the simulator, the model may do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import pytest
from acceptor import Seen, refused

from eoconsumer.core.positions import Move
from eoconsumer.message import TopicPartition
from eoconsumer.stores.memory import MemoryStore, Row
from eoconsumer.testing.simulated_reader import SimulatedReader
from eoconsumer.testing.simulator import Plan, World

SMALL = Plan(partitions=1, length=3, most_faults=4)
SEEDS = range(600)


class Watched(World):
    """A schedule of the simulator that notes what can be seen of it from outside."""

    def __init__(self, seed: int, plan: Plan) -> None:
        self.history: list[Seen] = []
        self.slots: dict[SimulatedReader, int] = {}
        self.late_ones = False
        super().__init__(seed, plan)

    def slot(self, reader: SimulatedReader) -> int:
        """Return which of the model's two owners ``reader`` is; the dead make room."""
        self.slots = {r: slot for r, slot in self.slots.items() if r in self.readers}
        free = next((n for n in (0, 1) if n not in self.slots.values()), 0)
        return self.slots.setdefault(reader, free)

    def claimed(self, reader: SimulatedReader, keys: Sequence[TopicPartition]) -> None:
        super().claimed(reader, keys)
        self.history += [Seen("claims", self.slot(reader)) for _ in keys]

    def fenced(self, reader: SimulatedReader, keys: Sequence[TopicPartition]) -> None:
        super().fenced(reader, keys)
        self.history += [Seen("fenced", self.slot(reader)) for _ in keys]

    def land(
        self, reader: SimulatedReader, moves: Sequence[Move], write: Callable[[], None]
    ) -> None:
        before = self.position()
        try:
            super().land(reader, moves, write)
        finally:
            if self.position() != before:  # a commit that is repeated changes nothing
                who = None if self.late_ones else self.slot(reader)
                self.history.append(Seen("lands", who, self.position()))

    def _land(self) -> None:
        self.late_ones = True
        super()._land()
        self.late_ones = False

    def position(self) -> int | None:
        return next((row.next_offset for row in self.store.rows.values()), None)


def histories(plan: Plan, seeds: Iterable[int] = SEEDS) -> list[list[Seen]]:
    found = []
    for seed in seeds:
        world = Watched(seed, plan)
        world.run()
        found.append(world.history)
    return found


@pytest.mark.slow
def test_the_model_allows_whatever_the_core_does_in_600_schedules() -> None:
    seen = histories(SMALL)
    assert {event.what for history in seen for event in history} == {"claims", "fenced", "lands"}
    assert [refused(history) for history in seen if refused(history)] == []


class WithoutPosition(MemoryStore):
    def ours(self, row: Row, move: Move) -> bool:
        return row.epoch == move.epoch


class WithoutEpoch(MemoryStore):
    def ours(self, row: Row, move: Move) -> bool:
        return row.next_offset == move.expected


@pytest.mark.slow
@pytest.mark.parametrize("store", [WithoutPosition, WithoutEpoch])
def test_the_model_refuses_what_the_core_does_without_a_guard(store: type[MemoryStore]) -> None:
    plan = replace(SMALL, make_store=store, most_faults=12)
    assert any(refused(history) for history in histories(plan))
