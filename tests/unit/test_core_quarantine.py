"""Key quarantine: behind a poison message the later ones of its key wait, and no others."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

import pytest
from bench import GROUP, P0, P1, Bench, messages
from hypothesis import given
from hypothesis import strategies as st
from letterbox import Redriving

from eoconsumer.core import effects as fx
from eoconsumer.core.letters import Selection
from eoconsumer.core.modes import Mode
from eoconsumer.core.redrive import STEPS, dropped
from eoconsumer.core.retry import RetryPolicy
from eoconsumer.errors import ConfigurationError, Fenced, TransientStoreError
from eoconsumer.message import Message
from eoconsumer.stores.memory import MemoryStore

ONCE = RetryPolicy(attempts=1)
KEYS = (b"a", b"b", b"c")  # of offset 0, 1, 2, and so on
pytestmark = pytest.mark.requirement("N15")


def consumer(
    store: MemoryStore | None = None, poison: Sequence[int] = (), owner: str = "a"
) -> Bench:
    bad = {offset: ValueError() for offset in poison}
    bench = Bench(store, poison=bad, owner=owner, retry=ONCE, on_poison="quarantine")
    return bench.own(P0)


def keyed(first: int, end: int) -> list[Message]:
    return messages(range(first, end), keys=KEYS)


def waiting(store: MemoryStore) -> list[tuple[int, int]]:
    """Return the offset and the attempts of each letter."""
    return [(letter.offset, letter.attempts) for letter in store.dead_letters]


def of_key(offset: int, effects: Sequence[object]) -> list[object]:
    return [o for o in effects if int(str(o)) % len(KEYS) == offset % len(KEYS)]


def test_later_messages_of_a_poison_key_wait_in_order_and_other_keys_go_on() -> None:
    bench = consumer(poison=[4]).consume({P0: keyed(0, 9)}, {P0: keyed(9, 15)})
    assert bench.effects == [o for o in range(15) if o % 3 != 1 or o < 4]
    assert waiting(bench.store) == [(4, 1), (7, 0), (10, 0), (13, 0)]
    assert sum(len(r["messages"]) for r in bench.reports("parked")) == 3
    assert bench.stored() == 15


def test_a_message_that_waits_says_that_it_was_not_tried() -> None:
    bench = consumer(poison=[0]).consume({P0: keyed(0, 4)})
    assert bench.store.dead_letters[1].failure.type.endswith("KeyInQuarantine")
    assert "redrive" in bench.store.dead_letters[1].failure.text


def test_messages_without_a_key_never_wait() -> None:
    bench = consumer(poison=[0]).consume({P0: messages(range(5))})
    assert bench.effects == [1, 2, 3, 4]
    assert not bench.store.letters_kept.quarantine


def test_the_same_key_in_another_partition_goes_on() -> None:
    bench = consumer(poison=[0]).own(P1)
    bench.consume({P0: messages(range(3), keys=[b"a"]), P1: messages([10, 11], P1, keys=[b"a"])})
    assert bench.effects == [10, 11]


def test_the_next_owner_knows_which_keys_wait() -> None:
    store = consumer(poison=[1]).consume({P0: keyed(0, 6)}).store
    bench = consumer(store, owner="b").consume({P0: keyed(6, 12)})
    assert bench.effects == [0, 2, 3, 5, 6, 8, 9, 11]
    assert waiting(store) == [(1, 1), (4, 0), (7, 0), (10, 0)]


@pytest.mark.parametrize("on_poison", ["stop", "skip", "bury"])
def test_a_quarantine_is_kept_also_by_a_consumer_that_would_make_none(on_poison: str) -> None:
    store = consumer(poison=[1]).consume({P0: keyed(0, 3)}).store
    bench = Bench(store, owner="b", on_poison=on_poison).own(P0)
    bench.consume({P0: keyed(3, 6)})
    assert waiting(store) == [(1, 1), (4, 0)]


@pytest.mark.parametrize("mode", [Mode.AT_LEAST_ONCE, Mode.AT_MOST_ONCE])
def test_a_mode_without_transactions_refuses_a_partition_with_keys_in_quarantine(
    mode: Mode,
) -> None:
    store = consumer(poison=[1]).consume({P0: keyed(0, 3)}).store
    with pytest.raises(ConfigurationError, match=r"moves\[0\] has 1 keys in quarantine.*redrive"):
        Bench(store, owner="b", mode=mode).own(P0)


def test_fifty_messages_wait_and_a_release_applies_them_in_order_and_once() -> None:
    def release() -> None:
        assert bench.effects == []
        assert [offset for offset, _ in waiting(bench.store)] == list(range(51))
        assert Redriving(bench.store).run().done == 51
        assert bench.effects == list(range(51))
        assert not bench.store.dead_letters
        assert not bench.store.letters_kept.quarantine

    bench = consumer(poison=[0])
    poll = bench.poll

    def poll_and_release(effect: fx.Poll) -> object:
        if len(bench.polls) == 1:
            release()
        return poll(effect)

    bench.poll = poll_and_release  # type: ignore[method-assign]
    first, later = messages(range(51), keys=[b"a"]), messages(range(51, 60), keys=[b"a"])
    bench.consume({P0: first}, {}, {P0: later})
    assert bench.effects == list(range(60)), "the key is handled again as before"
    assert len(bench.reports("lifted")) == 1


def test_a_key_stays_in_quarantine_until_its_last_letter_is_applied() -> None:
    store = consumer(poison=[0]).consume({P0: messages(range(5), keys=[b"a"])}).store
    Redriving(store, limit=4).run()
    assert store.letters_kept.quarantine
    Redriving(store, {4: ValueError()}).run()
    assert store.letters_kept.quarantine
    Redriving(store, steps=dropped).run()
    assert not store.letters_kept.quarantine


def test_letters_of_messages_that_are_not_settled_yet_are_not_written() -> None:
    # 7 waits behind 4; then 6 fails once, so that only what stands before it commits.
    store = consumer(poison=[4]).consume({P0: keyed(0, 5)}).store
    bench = Bench(store, owner="b").own(P0)
    bench.fail(fx.Handle, fx.RunFailed(P0, 6))
    bench.consume({P0: keyed(5, 12)})
    assert waiting(bench.store) == [(4, 1), (7, 0), (10, 0)]
    assert bench.effects == [0, 1, 2, 3, 5, 6, 8, 9, 11]


@pytest.mark.parametrize("mode", list(Mode))
def test_a_release_in_any_mode_ends_the_quarantine(mode: Mode) -> None:
    store = consumer(poison=[0]).consume({P0: messages(range(5), keys=[b"a"])}).store
    assert Redriving(store, steps=STEPS[mode]).run().done == 5
    assert not store.letters_kept.quarantine


def test_of_two_that_take_the_last_two_letters_of_a_key_at_once_one_ends_the_quarantine() -> None:
    for moment in range(20):
        store = consumer(poison=[0]).consume({P0: messages(range(2), keys=[b"a"])}).store
        steps = Redriving(store, which=Selection(offset=0)).steps()
        deque(islice(steps, moment), maxlen=0)
        Redriving(store, steps=dropped, which=Selection(offset=1)).run()
        deque(steps, maxlen=0)
        assert not store.dead_letters
        assert not store.letters_kept.quarantine


@pytest.mark.parametrize("effect", [fx.Begin, fx.Handle, fx.Bury, fx.Advance, fx.Commit])
def test_a_batch_that_is_done_again_parks_each_message_once(effect: type) -> None:
    bench = consumer(poison=[1])
    bench.fail(effect, None, *[TransientStoreError() for _ in range(3)])
    bench.consume({P0: keyed(0, 9)})
    assert waiting(bench.store) == [(1, 1), (4, 0), (7, 0)]
    assert bench.effects == [0, 2, 3, 5, 6, 8]


# --- a release while the consumer goes on -------------------------------------------------------


def settled(store: MemoryStore, end: int) -> None:
    """Release what is left, and check that each message was applied once, each key in order."""
    Redriving(store).run()
    effects = store.tables["effects"]
    assert sorted(map(int, map(str, effects))) == list(range(end))
    for key in range(len(KEYS)):
        mine = of_key(key, effects)
        assert mine == sorted(mine, key=lambda o: int(str(o))), effects
    assert not store.dead_letters
    assert not store.letters_kept.quarantine


def test_a_release_at_any_moment_of_a_batch_keeps_each_key_in_order() -> None:
    for moment in range(60):
        store = consumer(poison=[1]).consume({P0: keyed(0, 6)}).store
        live = consumer(store, owner="b")
        _at(live, moment, lambda store=store: Redriving(store).run())
        live.consume({P0: keyed(6, 9)}, {P0: keyed(9, 12)})
        consumer(store, owner="c").consume({P0: keyed(12, 15)})
        settled(store, 15)


def test_a_batch_at_any_moment_of_a_release_keeps_each_key_in_order() -> None:
    for moment in range(40):
        store = consumer(poison=[1]).consume({P0: keyed(0, 6)}).store
        live = consumer(store, owner="b")
        # It does not look again when it is through: what is parked behind it must be held.
        steps = Redriving(store, limit=2).steps()
        deque(islice(steps, moment), maxlen=0)
        live.consume({P0: keyed(6, 9)}, {P0: keyed(9, 12)})
        deque(steps, maxlen=0)
        # Had the quarantine ended with 7 and 10 parked, 13 would be handled before them.
        consumer(store, owner="c").consume({P0: keyed(12, 15)})
        settled(store, 15)


@given(first=st.integers(0, 40), second=st.integers(0, 40), owner=st.integers(0, 40))
def test_releases_and_a_new_owner_at_any_moments_keep_each_key_in_order(
    first: int, second: int, owner: int
) -> None:
    store = consumer(poison=[1]).consume({P0: keyed(0, 6)}).store
    live = consumer(store, owner="b")
    _at(live, owner, lambda: store.open(GROUP, "c").claim([P0], {}))
    one, two = Redriving(store), Redriving(store, steps=dropped, limit=0)
    for number, _ in enumerate(one.steps()):
        if number == first:
            live.consume({P0: keyed(6, 9)})
        if number == second:
            two.run()
            Redriving(store).run()
    reached = store.rows[next(iter(store.rows))].next_offset
    consumer(store, owner="d").consume({P0: keyed(reached, 12)})
    settled(store, 12)


def _at(bench: Bench, moment: int, action: Callable[[], object]) -> None:
    """Do ``action`` before the effect of this number."""
    do, numbers = bench._do, iter(range(1_000))

    def counted(effect: fx.Effect) -> object:
        if next(numbers) == moment:
            action()
        return do(effect)

    bench._do = counted  # type: ignore[method-assign]


def test_a_dead_letter_is_told_of_when_it_is_stored_and_not_when_it_is_decided() -> None:
    bench = Bench(poison={3: ValueError()}, retry=ONCE, on_poison="bury").own(P0)
    bench.fail(fx.Advance, Fenced([P0]))
    bench.consume({P0: messages(range(5))})  # what was decided goes with the partition
    assert bench.reports("buried") == []
    bench.own(P0).consume({P0: messages(range(5))})
    assert bench.effects == [0, 1, 2, 4]
    assert [told["message"].offset for told in bench.reports("buried")] == [3]
