"""The checker sees each harm that is planted, and says nothing of a good run."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.__main__ import exit_code
from tests.chaos.checker import Evidence, judge
from tests.chaos.checker.evidence import Visible

ROOT = Path(__file__).parents[2]
TOPIC = "transfers"
PLACE = (TOPIC, 0)


def effect(offset: int, n: int) -> dict[str, Any]:
    return {
        "topic": TOPIC,
        "partition": 0,
        "offset": offset,
        "key": "key",
        "seq": offset + 1,
        "n": n,
        "source": "a",
        "target": "b",
        "quantity": 2,
    }


def change(said: str, at: float, transaction: str | None = None, **fields: Any) -> dict[str, Any]:
    return {
        "said": said,
        "at": at,
        "topic": TOPIC,
        "partition": 0,
        "fields": fields,
        "removed": [],
        "transaction": transaction,
    }


def look(since: int, upto: int, effects: Any, letters: Any = None) -> dict[str, Any]:
    row = {"topic": TOPIC, "partition": 0, "since": since, "next": upto}
    return {"partitions": [row | {"effects": effects, "letters": letters}]}


def side(said: str, life: int, offset: int = 0, low: int = 0) -> dict[str, Any]:
    return {"said": said, "life": life, "partition": 0, "offset": offset, "low": low}


def lived(life: int, offset: int) -> dict[str, Any]:
    return {"key": f"life-{life}", "partition": 0, "offset": offset}


COMMIT: dict[str, Any] = {
    "command": "commitTransaction",
    "commit": {"w": "majority"},
    "first": {"read": "snapshot"},
    "writes": ["effects", "eoconsumer_offsets advance"],
}


def good() -> Evidence:
    """Offsets 0, 1, 2 (poison) and 4 of one partition; two owners, one kill.

    And a topic of two lives: the first was deleted half read, the second lost offset 1 unread.
    """
    kinds = {0: "transfer", 1: "transfer", 2: "poison", 4: "transfer"}
    return Evidence(
        visible={PLACE: [Visible(o, "key", kind, o + 1) for o, kind in kinds.items()]},
        effects=[effect(0, 0), effect(1, 1), effect(4, 2)],
        letters=[{"topic": TOPIC, "partition": 0, "offset": 2}],
        positions={PLACE: 5},
        stock={"a": 4, "b": 16},
        initial_stock={"a": 10, "b": 10},
        side_feed=[
            *(side("produced", life, o) for life in (1, 2) for o in range(4)),
            side("expired", 2, low=2),
        ],
        side_effects=[lived(1, 0), lived(1, 1), lived(2, 0), lived(2, 2), lived(2, 3)],
        feed=[{"said": "produced", "at": o, "partition": 0, "offset": o} for o in kinds],
        snapshots=[
            look(0, 2, {"count": 2, "last": 1}),
            look(2, 5, {"count": 1, "last": 4}, {"count": 1, "last": 2}),
        ],
        changes=[
            change("insert", 0, epoch=1, next_offset=0, lsid="one"),
            change("update", 1, "one", next_offset=2),
            change("update", 2, epoch=2, lsid="two"),
            change("update", 4, "two", next_offset=5),
        ],
        faults=[
            {
                "said": "end",
                "number": 0,
                "kind": "kill",
                "begun": 1.4,
                "at": 2,
                "took": True,
                "since": 1.5,
                "places": [list(PLACE)],
            }
        ],
        said=[
            {"said": "command", "shape": COMMIT},
            {"said": "data lost", "partition": 0, "missing": 1},
        ],
        planned=["kill"],
        written={"worker.log": "all is well"},
        canaries=["hush"],
    )


def twice(evidence: Evidence) -> None:
    evidence.effects.append(effect(1, 3))


def missing(evidence: Evidence) -> None:
    del evidence.effects[1]


def not_visible(evidence: Evidence) -> None:
    evidence.effects.append(effect(3, 3))


def good_one_buried(evidence: Evidence) -> None:
    evidence.letters.append({"topic": TOPIC, "partition": 0, "offset": 4})


def not_at_the_end(evidence: Evidence) -> None:
    evidence.positions[PLACE] = 4


def swapped(evidence: Evidence) -> None:
    evidence.effects[0]["n"], evidence.effects[1]["n"] = 1, 0


def stock_moved_twice(evidence: Evidence) -> None:
    evidence.stock |= {"a": 2, "b": 18}


def stock_from_nowhere(evidence: Evidence) -> None:
    evidence.stock["b"] += 1


def position_ahead(evidence: Evidence) -> None:
    evidence.snapshots[0] = look(0, 2, {"count": 1, "last": 0})


def position_behind(evidence: Evidence) -> None:
    evidence.snapshots[0] = look(0, 1, {"count": 2, "last": 1})


def moved_by_the_former_owner(evidence: Evidence) -> None:
    evidence.changes[3]["transaction"] = "one"


def moved_outside(evidence: Evidence) -> None:
    evidence.changes[3]["transaction"] = None


def moved_back(evidence: Evidence) -> None:
    evidence.changes[3]["fields"]["next_offset"] = 1


def epoch_not_raised(evidence: Evidence) -> None:
    evidence.changes[2]["fields"]["epoch"] = 1


def one_node_is_enough(evidence: Evidence) -> None:
    evidence.said[0]["shape"]["commit"] = {"w": 1}


def position_apart(evidence: Evidence) -> None:
    evidence.said[0]["shape"]["writes"] = ["effects"]


def positions_first(evidence: Evidence) -> None:
    evidence.said[0]["shape"]["writes"].reverse()


def old_position_in_a_new_life(evidence: Evidence) -> None:
    del evidence.side_effects[2]


def lost_before_it_was_deleted(evidence: Evidence) -> None:
    evidence.side_effects.insert(0, lived(1, 3))


def end_of_the_last_life_missed(evidence: Evidence) -> None:
    del evidence.side_effects[-1]


def loss_not_told(evidence: Evidence) -> None:
    del evidence.said[1]


def too_slow(evidence: Evidence) -> None:
    evidence.changes[3]["at"] = 60


def told(evidence: Evidence) -> None:
    evidence.written["worker.log"] = "the password is hush"


HARM: list[tuple[Callable[[Evidence], None], set[str]]] = [
    (twice, {"effects", "order", "stock"}),
    (missing, {"effects", "skipped", "order", "stock"}),
    (not_visible, {"effects", "order", "stock"}),
    (good_one_buried, {"effects"}),
    (not_at_the_end, {"skipped"}),
    (swapped, {"order"}),
    (stock_moved_twice, {"stock"}),
    (stock_from_nowhere, {"stock"}),
    (position_ahead, {"snapshot"}),
    (position_behind, {"snapshot"}),
    (moved_by_the_former_owner, {"protocol"}),
    (moved_outside, {"protocol"}),
    (moved_back, {"protocol"}),
    (epoch_not_raised, {"protocol"}),
    (one_node_is_enough, {"concerns"}),
    (position_apart, {"concerns"}),
    (positions_first, {"concerns"}),
    (old_position_in_a_new_life, {"skipped"}),
    (lost_before_it_was_deleted, {"skipped"}),
    (end_of_the_last_life_missed, {"skipped"}),
    (loss_not_told, {"skipped"}),
    (too_slow, {"recovery"}),
    (told, {"canary"}),
]


def test_a_good_run_is_green() -> None:
    verdict = judge(good())
    assert (verdict.red, verdict.invalid) == ([], [])
    assert exit_code(verdict, None) == 0


@pytest.mark.parametrize(("plant", "red"), HARM, ids=[plant.__name__ for plant, _ in HARM])
def test_each_harm_turns_the_checks_red_that_are_named_for_it(
    plant: Callable[[Evidence], None], red: set[str]
) -> None:
    evidence = copy.deepcopy(good())
    plant(evidence)
    verdict = judge(evidence)
    assert set(verdict.red) == red
    assert exit_code(verdict, None) == 1


def test_a_kind_of_fault_that_never_took_effect_makes_the_run_invalid() -> None:
    evidence = good()
    evidence.faults[0]["took"] = False
    verdict = judge(evidence)
    assert verdict.invalid == ["'kill' never took effect"]
    assert exit_code(verdict, None) == 3


def test_a_message_that_the_broker_took_and_does_not_have_makes_the_run_invalid() -> None:
    evidence = good()
    evidence.feed.append({"said": "produced", "at": 9, "partition": 0, "offset": 9})
    assert judge(evidence).invalid == [
        "the topic does not have 1 messages that the broker had taken"
    ]


@pytest.mark.parametrize(
    ("mode", "plant", "says"),
    [("at_least_once", twice, "no doubles"), ("at_most_once", missing, "no losses")],
)
def test_a_control_mode_has_to_show_what_it_admits(
    mode: str, plant: Callable[[Evidence], None], says: str
) -> None:
    evidence = good()
    evidence.mode = mode
    verdict = judge(evidence)
    assert verdict.red == []
    assert says in verdict.invalid[0]
    plant(evidence)
    assert judge(evidence).word == "GREEN"


def test_the_checker_does_not_know_the_library() -> None:
    program = (
        "import sys, tests.chaos.checker, tests.chaos.checker.gather\n"
        "print([name for name in sys.modules if name.startswith('eoconsumer')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
