"""Lanes under thousands of schedules; then each of their guards is taken out once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from schedules import play, play_all

from eoconsumer.core.dealer import LaneFlow
from eoconsumer.core.flow import Flow
from eoconsumer.core.lanes import Ahead, Lane
from eoconsumer.core.modes import Mode
from eoconsumer.core.positions import Position, Start
from eoconsumer.message import TopicPartition
from eoconsumer.stores.memory import MemoryStore
from eoconsumer.stores.memory_rows import Claimer, Key, Row
from eoconsumer.testing.simulator import Plan, simulate

pytestmark = [pytest.mark.slow, pytest.mark.requirement("N2")]

EVERY_KIND = Plan().faults


def plan(*lanes: int, **changes: object) -> Plan:
    """Return a plan in which each reader that starts has one of these numbers of lanes."""
    values = {"lanes": lanes, "keys": 5, "length": 12, "most_faults": 12, **changes}
    return Plan(**values)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [(3,), (0, 2, 3)], ids=["lanes", "changing numbers of lanes"])
def test_lanes_neither_lose_nor_double_nor_reorder_a_key_in_1_000_schedules(
    lanes: tuple[int, ...],
) -> None:
    tally = play_all(1_000, plan(*lanes))
    assert not tally.wrong, tally.without()
    assert set(tally.faults) >= EVERY_KIND, "a fault that never bites proves nothing"


def test_lanes_neither_lose_nor_double_nor_reorder_a_key() -> None:
    tally = play(range(200), plan(0, 2, 3))
    assert not tally.wrong, tally.without()


def test_lanes_keep_the_promise_of_at_least_once() -> None:
    tally = play(range(200), plan(0, 2, 3, mode=Mode.AT_LEAST_ONCE))
    problem = tally.without("doubled", "out_of_order")
    assert not problem, problem
    assert tally.doubled


def test_lanes_keep_the_promise_of_at_most_once() -> None:
    tally = play(range(200), plan(0, 2, 3, mode=Mode.AT_MOST_ONCE))
    problem = tally.without("lost", "out_of_order")
    assert not problem, problem
    assert tally.lost


@pytest.mark.parametrize("mode", list(Mode))
def test_without_faults_lanes_handle_each_message_once_in_every_mode(mode: Mode) -> None:
    tally = play(range(100), plan(3, mode=mode, faults=frozenset()))
    assert not tally.wrong, tally.without()


# --- each guard is taken out once ---------------------------------------------------------------


class NobodyFencesLanes(Claimer):
    """A claim of a partition that leaves its lanes to their owners."""

    def _fence(self, partition: TopicPartition, whole: Row) -> tuple[Ahead, ...]:
        epochs = {key: row.epoch for key, row in self.rows.items()}
        ahead = super()._fence(partition, whole)
        for key, row in self.rows.items():
            if key.partition == partition and key.lane.number:
                row.epoch = epochs[key]
        return ahead


class NobodyTellsWhatLanesDid(Claimer):
    """A claim of a partition that knows nothing of what lanes have done beyond its position."""

    def wholes(
        self, partitions: Sequence[TopicPartition], starts: Mapping[TopicPartition, Start]
    ) -> dict[TopicPartition, Position]:
        claimed = super().wholes(partitions, starts)
        return {k: Position(p.next_offset, p.epoch, p.owner) for k, p in claimed.items()}


class LanesAskNobody(Claimer):
    """Lanes that claim whoever has claimed their partition since."""

    def is_ours(self, whole: Row, start: Start) -> bool:  # noqa: ARG002 - as in Claimer
        return True


class LanesForget(Claimer):
    """Lanes that go on at the position of the partition, not at their own."""

    def lanes(
        self, lane: Lane, starts: Mapping[TopicPartition, Start]
    ) -> dict[TopicPartition, Position]:
        for partition in starts:
            self.rows.pop(Key(self.group, partition, lane), None)
        return super().lanes(lane, starts)


class ClaimsAgain(LaneFlow):
    """A lane that claims again by itself, though what was dealt to it meanwhile is gone."""

    fence = Flow.fence
    reclaim = Flow.reclaim


def store_with(claimer: type[Claimer]) -> type[MemoryStore]:
    return type(claimer.__name__, (MemoryStore,), {"claimer": claimer})


MOVING = plan(0, 2, 3, faults=frozenset({"zombie", "rebalance"}))


def test_with_every_guard_of_the_claim_no_message_is_doubled() -> None:
    assert play(range(200), MOVING).doubled == 0


@pytest.mark.parametrize(
    "claimer", [NobodyFencesLanes, NobodyTellsWhatLanesDid, LanesAskNobody, LanesForget]
)
def test_without_a_guard_of_the_claim_messages_are_doubled(claimer: type[Claimer]) -> None:
    without = replace(MOVING, make_store=store_with(claimer))
    assert any(simulate(seed, without).doubled for seed in range(200))


def test_a_lane_that_claims_again_by_itself_loses_messages() -> None:
    late = plan(3, faults=frozenset({"late_commit", "lost_reply", "transient"}))
    assert play(range(500), late).lost == 0
    without = replace(late, make_lane=ClaimsAgain)
    assert any(simulate(seed, without).lost for seed in range(500))
