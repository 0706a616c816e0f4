"""Dead letters are applied once and in order, whatever happens in between."""

from __future__ import annotations

from itertools import islice

import pytest
from bench import GROUP, P1
from hypothesis import given
from hypothesis import strategies as st
from letterbox import KEY, OTHER, Redriving, bury

from eoconsumer.core import effects as fx
from eoconsumer.core.letters import Selection
from eoconsumer.core.modes import Mode
from eoconsumer.core.redrive import STEPS, dropped
from eoconsumer.errors import CommitInDoubt, StoreError, TransientStoreError
from eoconsumer.stores.memory import MemoryStore

NO = ValueError("still no")
pytestmark = pytest.mark.requirement("N5")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def left(store: MemoryStore) -> list[int]:
    return sorted(letter.offset for letter in store.dead_letters)


@pytest.mark.parametrize("mode", list(Mode))
def test_letters_are_applied_in_the_order_of_their_places_and_removed(
    store: MemoryStore, mode: Mode
) -> None:
    bury(store, [5, 3])
    bury(store, [4], OTHER)
    bury(store, [1], OTHER, P1)
    result = Redriving(store, steps=STEPS[mode]).run()
    assert store.tables["effects"] == [3, 4, 5, 1]
    assert (result.done, result.stayed, left(store)) == (4, 0, [])


@pytest.mark.parametrize("mode", list(Mode))
def test_a_letter_that_fails_stays_with_its_key_behind_it_and_others_go_on(
    store: MemoryStore, mode: Mode
) -> None:
    bury(store, [3, 5, 9])
    bury(store, [4, 6], OTHER)
    bury(store, [7, 8], None)
    redriving = Redriving(store, {3: NO, 7: NO}, steps=STEPS[mode])
    result = redriving.run()
    assert [(letter.offset, error) for letter, error in result.failed] == [(3, NO), (7, NO)]
    assert (result.done, result.behind, result.stayed) == (3, 2, 4)
    assert left(store) == [3, 5, 7, 9]
    assert redriving.handler.called == [3, 4, 6, 7, 8], "each is tried once"
    if mode is Mode.EXACTLY_ONCE:
        assert store.tables["effects"] == [4, 6, 8]


@pytest.mark.parametrize("mode", list(Mode))
def test_a_letter_that_stays_knows_of_the_last_try(store: MemoryStore, mode: Mode) -> None:
    bury(store, [3])
    Redriving(store, {3: NO}, steps=STEPS[mode]).run()
    (letter,) = store.dead_letters
    assert (letter.attempts, letter.failure.text) == (4, "still no")


def test_what_was_redriven_is_not_applied_again(store: MemoryStore) -> None:
    bury(store, range(5))
    Redriving(store).run()
    assert Redriving(store).run().done == 0
    assert store.tables["effects"] == [0, 1, 2, 3, 4]


def test_only_letters_that_are_meant_are_applied_and_none_before_another_of_its_key(
    store: MemoryStore,
) -> None:
    bury(store, [3, 5])
    bury(store, [4, 6], OTHER)
    result = Redriving(store, which=Selection(partition=0, offset=5)).run()
    assert (result.done, result.behind) == (0, 1)
    assert Redriving(store, which=Selection(offset=4)).run().done == 1
    assert store.tables["effects"] == [4]
    assert Redriving(store, limit=1).run().done == 1
    assert store.tables["effects"] == [4, 3]


@pytest.mark.parametrize("effect", [fx.FindLetters, fx.Begin, fx.Remove, fx.Handle, fx.Commit])
def test_a_transient_error_is_tried_again_and_is_no_failure_of_the_letter(
    store: MemoryStore, effect: type
) -> None:
    bury(store, range(3))
    redriving = Redriving(store)
    faults = [TransientStoreError() for _ in range(3)]
    redriving.fault = lambda e: faults.pop() if faults and isinstance(e, effect) else None
    result = redriving.run()
    assert not faults
    assert (result.done, result.stayed) == (3, 0)
    assert store.tables["effects"] == [0, 1, 2]


def test_a_database_that_never_answers_ends_the_redrive_with_a_store_error(
    store: MemoryStore,
) -> None:
    bury(store, range(3))
    redriving = Redriving(store)
    redriving.fault = lambda e: TransientStoreError("no") if isinstance(e, fx.Commit) else None
    with pytest.raises(StoreError, match="for 120 s"):
        redriving.run()
    assert 120 <= redriving.clock < 123
    assert left(store) == [0, 1, 2]


@pytest.mark.parametrize("happened", [True, False])
def test_a_commit_in_doubt_is_decided_by_the_letter_itself(
    store: MemoryStore, happened: bool
) -> None:
    bury(store, range(3))
    redriving = Redriving(store)
    do, commits, over = redriving.carry_out, 0, False

    def lose(effect: fx.Effect) -> object:
        """Answer no commit of the first letter, until it is given up."""
        nonlocal commits, over
        over = over or isinstance(effect, fx.Abort)
        if over or not isinstance(effect, fx.Commit):
            return do(effect)
        commits += 1
        if happened and commits == 1:
            do(effect)
        raise CommitInDoubt

    redriving.carry_out = lose
    assert redriving.run().done == 3
    assert commits > 1
    assert store.tables["effects"] == [0, 1, 2]


@given(
    others=st.lists(st.sampled_from([KEY, OTHER, None]), min_size=1, max_size=4),
    moment=st.integers(0, 60),
    poison=st.sets(st.integers(0, 3), max_size=1),
)
def test_of_two_redrives_at_once_each_letter_is_applied_by_one(
    others: list[bytes | None], moment: int, poison: set[int]
) -> None:
    store = MemoryStore()
    for offset, key in enumerate(others):
        bury(store, [offset], key)
    first = Redriving(store, dict.fromkeys(poison, NO))
    results = []
    for number, _ in enumerate(first.steps()):
        if number == moment:
            results.append(Redriving(store, dict.fromkeys(poison, NO)).run())
    results.append(first.result)
    effects = store.tables["effects"]
    for key in {*others} - {None}:
        of_key = [o for o in effects if others[int(str(o))] == key]
        assert of_key == sorted(of_key, key=int)  # type: ignore[call-overload]  # they are numbers
    assert len(effects) == len(set(effects)) == sum(result.done for result in results)
    assert len(effects) + len(left(store)) == len(others)


@pytest.mark.parametrize("point", ["before", "after"])
def test_a_redrive_that_dies_at_any_moment_leaves_each_letter_applied_once(point: str) -> None:
    for moment in range(30):
        store = MemoryStore()
        bury(store, range(3))
        dying = Redriving(store)
        for effect in islice(dying.steps(), moment, moment + 1):
            if point == "after":
                dying.carry_out(effect)
        seen = list(store.tables["effects"])
        assert left(store) == [o for o in range(3) if o not in seen]
        Redriving(store).run()
        assert store.tables["effects"] == [0, 1, 2]


def test_letters_that_come_in_behind_a_redrive_are_applied_by_it_too(store: MemoryStore) -> None:
    bury(store, [1])
    bury(store, [2], OTHER, P1)
    redriving = Redriving(store)
    for effect in redriving.steps():
        if isinstance(effect, fx.Remove) and effect.letter.offset == 2:
            bury(store, [5])
    assert store.tables["effects"] == [1, 2, 5]


def test_what_is_dropped_is_handled_by_nobody_and_gone(store: MemoryStore) -> None:
    bury(store, range(3))
    dropping = Redriving(store, steps=dropped, which=Selection(offset=1))
    assert dropping.run().done == 1
    assert dropping.handler.called == []
    assert left(store) == [0, 2]


def test_letters_of_another_group_are_left_alone(store: MemoryStore) -> None:
    bury(store, [1])
    store.open("another", "x").bury([])
    assert [x.group for x in store.letters(Selection("another"), None, 10)] == []
    assert [x.group for x in store.letters(Selection(GROUP), None, 10)] == [GROUP]
