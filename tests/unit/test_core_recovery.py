"""What the core does when a handler fails, by mode, and what it makes of the rest of the batch."""

from __future__ import annotations

from math import floor, log2

import pytest
from bench import GROUP, P0, P1, Bench, messages
from hypothesis import given
from hypothesis import strategies as st

from eoconsumer.core import effects as fx
from eoconsumer.core.letters import Letter
from eoconsumer.core.modes import Mode
from eoconsumer.core.retry import RetryPolicy
from eoconsumer.errors import (
    DecodeError,
    HandlerFailed,
    HandlerMisuse,
    StoreError,
    TransientStoreError,
)

ONCE = RetryPolicy(attempts=1)
WITHOUT_TRANSACTION = pytest.mark.parametrize("mode", [Mode.AT_LEAST_ONCE, Mode.AT_MOST_ONCE])


def buried(letters: list[Letter]) -> list[int]:
    return [letter.offset for letter in letters]


# --- a bad message in a good batch ------------------------------------------------------------


@given(n=st.integers(1, 1_200), data=st.data())
def test_an_unknown_culprit_is_isolated_within_two_plus_two_log_n_transactions(
    n: int, data: st.DataObject
) -> None:
    poison = data.draw(st.integers(0, n - 1))
    bench = Bench(poison={poison: ValueError()}, culprit_known=False, retry=ONCE, on_poison="bury")
    bench.flow.pace.limit = n
    bench.own(P0).consume({P0: messages(range(n))})
    assert bench.effects == [offset for offset in range(n) if offset != poison]
    assert buried(bench.store.dead_letters) == [poison]
    assert bench.stored() == n
    assert len(bench.all(fx.Begin)) <= floor(2 + 2 * log2(n))


@given(n=st.integers(1, 1_200), attempts=st.integers(1, 5), data=st.data())
def test_a_known_culprit_costs_three_transactions_and_one_for_each_retry(
    n: int, attempts: int, data: st.DataObject
) -> None:
    poison = data.draw(st.integers(0, n - 1))
    retry = RetryPolicy(attempts=attempts)
    bench = Bench(poison={poison: ValueError()}, retry=retry, on_poison="bury")
    bench.flow.pace.limit = n
    bench.own(P0).consume({P0: messages(range(n))})
    assert bench.effects == [offset for offset in range(n) if offset != poison]
    assert buried(bench.store.dead_letters) == [poison]
    assert len(bench.all(fx.Begin)) <= 3 + (attempts - 1)


@pytest.mark.parametrize("culprit_known", [True, False])
@given(poison=st.sets(st.integers(0, 39), max_size=6), size=st.integers(1, 40))
def test_any_number_of_bad_messages_leaves_the_good_ones_handled_once_in_order(
    culprit_known: bool, poison: set[int], size: int
) -> None:
    bench = Bench(
        poison={offset: ValueError() for offset in poison},
        culprit_known=culprit_known,
        on_poison="bury",
        batch_size=size,
    )
    bench.own(P0).consume({P0: messages(range(40))})
    assert bench.effects == [offset for offset in range(40) if offset not in poison]
    assert buried(bench.store.dead_letters) == sorted(poison)
    assert bench.stored() == 40


@pytest.mark.parametrize("mode", list(Mode))
@given(
    poison=st.sets(st.tuples(st.sampled_from([P0, P1]), st.integers(0, 9)), max_size=6),
    attempts=st.integers(1, 2),
)
def test_every_bad_message_becomes_exactly_one_dead_letter_in_every_mode(
    mode: Mode, poison: set[tuple[object, int]], attempts: int
) -> None:
    # Offsets of the second partition begin at 10, so that one number names one message.
    numbers = {offset + (10 if key == P1 else 0) for key, offset in poison}
    bench = Bench(
        mode=mode,
        poison={number: ValueError() for number in numbers},
        retry=RetryPolicy(attempts=attempts),
        on_poison="bury",
    )
    bench.own(P0, P1).consume({P0: messages(range(10)), P1: messages(range(10, 20), P1)})
    assert sorted(buried(bench.store.dead_letters)) == sorted(numbers)
    assert sorted(bench.effects) == [n for n in range(20) if n not in numbers] or (
        mode is not Mode.EXACTLY_ONCE
    )
    assert set(bench.effects) >= set(range(20)) - numbers - (
        set(range(20)) if mode is Mode.AT_MOST_ONCE else set()
    )


@pytest.mark.requirement("S3-24")
def test_a_retry_of_a_bad_message_stands_alone_and_others_go_on_meanwhile() -> None:
    bench = Bench(poison={3: ValueError()}, on_poison="skip").own(P0, P1)
    bench.consume({P0: messages(range(6)), P1: messages(range(100, 104), P1)})
    runs = [(h.run.partition, [m.offset for m in h.run.live]) for h in bench.all(fx.Handle)]
    failing = [run for run in runs if 3 in run[1]]
    assert failing == [(P0, [0, 1, 2, 3, 4, 5]), (P0, [3]), (P0, [3])]
    assert runs.index((P1, [100, 101, 102, 103])) < runs.index((P0, [3]))
    assert bench.stored(P1) == 104


@pytest.mark.requirement("S3-24")
def test_a_failing_message_rests_its_partition_longer_with_each_try() -> None:
    retry = RetryPolicy(attempts=4, minimum=1, maximum=100, jitter=0)
    bench = Bench(poison={0: ValueError()}, retry=retry, on_poison="skip").own(P0)
    bench.consume({P0: messages([0])})
    assert [r["delay"] for r in bench.reports("retry")] == [1, 2, 4]
    assert [r["attempt"] for r in bench.reports("retry")] == [1, 2, 3]
    assert len(bench.all(fx.Pause)) == len(bench.all(fx.Resume)) == 3


@pytest.mark.requirement("S3-24")
def test_a_resting_partition_does_not_narrow_the_fetching_of_others() -> None:
    bench = Bench(poison={0: ValueError()}, on_poison="skip", batch_size=10).own(P0, P1)
    bench.consume({P0: messages(range(10))})
    resting = bench.seen.index(bench.all(fx.Pause)[0])
    poll = next(effect for effect in bench.seen[resting:] if isinstance(effect, fx.Poll))
    assert poll.messages == 10


def test_stop_raises_what_the_handler_raised_and_stores_only_what_stands_before() -> None:
    bench = Bench(poison={3: ValueError("no such item")}, on_poison="stop").own(P0)
    with pytest.raises(HandlerFailed, match=r"moves\[0\]@3 \(3 tries\): ValueError") as caught:
        bench.consume({P0: messages(range(6))})
    assert str(caught.value.__cause__) == "no such item"
    assert bench.effects == [0, 1, 2]
    assert bench.stored() == 3


def test_skip_passes_over_the_message_and_says_so() -> None:
    bench = Bench(poison={3: ValueError()}, on_poison="skip").own(P0)
    bench.consume({P0: messages(range(6))})
    assert bench.effects == [0, 1, 2, 4, 5]
    assert [(r["message"].offset, r["attempts"]) for r in bench.reports("skipped")] == [(3, 3)]
    assert not bench.store.dead_letters


def test_a_dead_letter_says_why_and_after_how_many_tries() -> None:
    bench = Bench(poison={3: ValueError("no such item")}, on_poison="bury").own(P0)
    bench.consume({P0: messages(range(6))})
    (letter,) = bench.store.dead_letters
    assert (letter.offset, letter.failure.text, letter.attempts) == (3, "no such item", 3)


def test_a_message_that_cannot_be_decoded_is_not_tried_again() -> None:
    bench = Bench(poison={3: DecodeError("not JSON")}, on_poison="bury").own(P0)
    bench.consume({P0: messages(range(6))})
    assert bench.effects == [0, 1, 2, 4, 5]
    assert not bench.reports("retry")
    assert [letter.attempts for letter in bench.store.dead_letters] == [1]


def test_stop_at_a_message_that_cannot_be_decoded_raises_the_decode_error() -> None:
    bench = Bench(poison={0: DecodeError("not JSON")}).own(P0)
    with pytest.raises(DecodeError, match="not JSON"):
        bench.consume({P0: messages(range(6))})


def test_a_message_before_the_bad_one_may_fail_while_the_partition_rests() -> None:
    bench = Bench(on_poison="skip").own(P0)
    fails_earlier = iter([{3: ValueError()}, {1: ValueError()}])
    handle = bench.handle

    def flaky(effect: fx.Handle) -> None:
        bench.poison = next(fails_earlier, {})
        handle(effect)

    bench.handle = flaky  # type: ignore[method-assign]
    bench.consume({P0: messages(range(6))})
    assert bench.effects == [0, 1, 2, 3, 4, 5]


# --- the handler breaks the rules, or is too slow ---------------------------------------------


def test_misuse_of_the_transaction_is_never_tried_again() -> None:
    bench = Bench().own(P0)
    bench.fail(fx.Handle, HandlerMisuse())
    with pytest.raises(HandlerMisuse):
        bench.consume({P0: messages(range(6))})
    assert len(bench.all(fx.Handle)) == 1
    assert bench.all(fx.Abort)
    assert bench.effects == []


def test_a_batch_that_outlives_its_transaction_comes_again_in_smaller_parts() -> None:
    bench = Bench().own(P0)
    bench.fail(fx.Handle, fx.OutOfTime(30), fx.OutOfTime(30))
    bench.consume({P0: messages(range(64))})
    sizes = [len(h.run) for h in bench.all(fx.Handle)]
    assert sizes[:3] == [64, 8, 1]
    assert bench.effects == list(range(64))


def test_a_single_message_that_outlives_its_transaction_has_failed() -> None:
    bench = Bench(retry=ONCE, on_poison="stop").own(P0)
    bench.fail(fx.Handle, fx.OutOfTime(30))
    with pytest.raises(HandlerFailed, match=r"took 30.0 s"):
        bench.consume({P0: messages([0])})


# --- the database asks for another try --------------------------------------------------------


@pytest.mark.requirement("S3-18")
@pytest.mark.parametrize("effect", [fx.Begin, fx.Handle, fx.Advance, fx.Commit])
def test_a_transient_error_runs_the_whole_batch_again_and_is_never_poison(effect: type) -> None:
    bench = Bench(retry=ONCE).own(P0, P1)
    bench.fail(effect, *[TransientStoreError() for _ in range(5)])
    bench.consume({P0: messages(range(4)), P1: messages(range(10, 14), P1)})
    assert sorted(bench.effects) == [0, 1, 2, 3, 10, 11, 12, 13]
    assert len(bench.all(fx.Commit)) >= 1
    assert len(bench.reports("store_retry")) == 5
    assert not bench.reports("retry")


@pytest.mark.parametrize("mode", [Mode.EXACTLY_ONCE, Mode.AT_LEAST_ONCE])
def test_a_transient_error_inside_a_handler_is_never_poison(mode: Mode) -> None:
    bench = Bench(mode=mode, retry=ONCE, on_poison="bury").own(P0)
    failure = fx.RunFailed(P0, 0)
    failure.__cause__ = TransientStoreError()
    bench.fail(fx.Handle, failure, failure)
    bench.consume({P0: messages(range(4))})
    assert bench.effects == [0, 1, 2, 3]
    assert not bench.store.dead_letters


def test_transient_errors_beyond_the_deadline_end_the_reader_with_a_store_error() -> None:
    bench = Bench(store_timeout=10.0).own(P0)
    bench.fail(fx.Begin, *[TransientStoreError("no primary") for _ in range(1_000)])
    with pytest.raises(StoreError, match="no primary") as caught:
        bench.consume({P0: messages(range(4))})
    assert not isinstance(caught.value, TransientStoreError)
    assert 10 <= bench.clock < 13


def test_the_deadline_begins_anew_once_the_database_has_answered() -> None:
    bench = Bench(store_timeout=10.0).own(P0)
    bench.fail(fx.Begin, TransientStoreError())
    bench.consume({P0: messages(range(4))})
    bench.own(P0)
    bench.clock += 1_000
    bench.fail(fx.Begin, TransientStoreError())
    bench.consume({P0: messages(range(4, 8))})
    assert bench.effects == list(range(8))


def test_the_deadline_does_not_run_on_when_the_batch_of_the_error_was_taken_away() -> None:
    bench = Bench(store_timeout=10.0).own(P0)
    bench.fail(fx.Begin, TransientStoreError())
    sleep = bench.sleep

    def lose(effect: fx.Sleep) -> None:
        sleep(effect)
        bench.run(bench.flow.revoked([P0], lost=True))

    bench.sleep = lose  # type: ignore[method-assign]
    bench.consume({P0: messages(range(4))}, {})
    bench.sleep = sleep  # type: ignore[method-assign]
    bench.clock += 1_000
    bench.own(P0).fail(fx.Begin, TransientStoreError())
    bench.consume({P0: messages(range(4))})
    assert bench.effects == [0, 1, 2, 3]


# --- without a transaction --------------------------------------------------------------------


@pytest.mark.requirement("S3-05")
@pytest.mark.parametrize("culprit_known", [True, False])
def test_at_most_once_never_tries_a_failed_message_again(culprit_known: bool) -> None:
    bench = Bench(
        mode=Mode.AT_MOST_ONCE,
        poison={3: ValueError()},
        culprit_known=culprit_known,
        on_poison="skip",
    )
    bench.own(P0).consume({P0: messages(range(6))})
    handed = [m.offset for handle in bench.all(fx.Handle) for m in handle.run.live]
    assert handed.count(3) == 1
    assert len(bench.effects) == len(set(bench.effects))
    assert bench.stored() == 6


@pytest.mark.requirement("S3-05")
def test_at_most_once_stores_the_offset_before_the_handler_starts() -> None:
    bench = Bench(mode=Mode.AT_MOST_ONCE).own(P0)
    handle = bench.handle
    stored_at: list[int] = []

    def note(effect: fx.Handle) -> None:
        stored_at.append(bench.stored() - effect.run.upto)
        handle(effect)

    bench.handle = note  # type: ignore[method-assign]
    bench.consume({P0: messages(range(2_500))})
    assert stored_at
    assert min(stored_at) >= 0


def test_at_least_once_tries_again_only_from_the_failed_message_on() -> None:
    bench = Bench(mode=Mode.AT_LEAST_ONCE, poison={3: ValueError()}, on_poison="skip").own(P0)
    bench.consume({P0: messages(range(6))})
    handed = [m.offset for handle in bench.all(fx.Handle) for m in handle.run.live]
    assert handed.count(0) == 1
    assert handed.count(3) == 3
    assert set(bench.effects) == {0, 1, 2, 4, 5}
    assert bench.stored() == 6


@pytest.mark.requirement("S3-03")
@given(n=st.integers(1, 30), fails=st.sets(st.integers(0, 60)))
def test_at_least_once_never_has_more_than_commit_batch_messages_handled_and_not_stored(
    n: int, fails: set[int]
) -> None:
    bench = Bench(
        mode=Mode.AT_LEAST_ONCE,
        commit_batch=n,
        commit_interval=1e9,
        poison={offset: ValueError() for offset in fails},
        on_poison="skip",
    )
    bench.own(P0)
    handle = bench.handle
    worst = 0

    def note(effect: fx.Handle) -> None:
        nonlocal worst
        try:
            handle(effect)
        finally:
            worst = max(worst, sum(offset >= bench.stored() for offset in set(bench.effects)))

    bench.handle = note  # type: ignore[method-assign]
    batches = [range(first, first + 7) for first in range(0, 63, 7)]
    bench.consume(*({P0: messages(batch)} for batch in batches))
    assert worst <= n
    assert bench.stored() == 63


def test_a_fence_names_one_partition_and_only_that_one_is_dropped() -> None:
    bench = Bench().own(P0, P1)
    other = bench.store.open(GROUP, "other")
    other.claim([P1], {})
    bench.polls.append({P0: messages(range(4)), P1: messages(range(10, 14), P1)})
    bench.run(bench.flow.read())
    assert bench.effects[:4] == [0, 1, 2, 3]
    assert [r["partition"] for r in bench.reports("fenced")] == [P1]


# --- outside a transaction: what stands before a failure ----------------------------------------


@WITHOUT_TRANSACTION
@pytest.mark.requirement("S3-02")
def test_messages_before_a_failure_pass_all_stages_and_are_counted(mode: Mode) -> None:
    bench = Bench(mode=mode, poison={7: ValueError()}, retry=ONCE, on_poison="skip")
    bench.own(P0).consume({P0: messages(range(20))}, {}, {})
    passed = [m.offset for step in bench.all(fx.AfterCommit) for r in step.runs for m in r.live]
    assert passed == [offset for offset in range(20) if offset != 7]
    runs = [run for report in bench.reports("committed") for run in report["runs"]]
    assert [m.offset for run in runs for m in run.messages] == list(range(20))


@pytest.mark.requirement("S3-02")
def test_at_least_once_settles_nothing_before_a_failure_in_the_middle_of_a_run() -> None:
    bench = Bench(mode=Mode.AT_LEAST_ONCE, retry=ONCE, on_poison="bury").own(P0)
    failure = fx.RunFailed(P0, 7, before="perhaps")
    failure.__cause__ = DecodeError("not JSON")
    bench.fail(fx.Handle, failure)  # before anything was written
    bench.consume({P0: messages(range(20))}, {}, {})
    assert bench.effects == [offset for offset in range(20) if offset != 7]
    assert buried(bench.store.dead_letters) == [7]


def test_at_most_once_gives_up_the_whole_run_that_failed_in_its_middle() -> None:
    bench = Bench(mode=Mode.AT_MOST_ONCE, on_poison="bury").own(P0)
    failure = fx.RunFailed(P0, 7, before="perhaps")
    failure.__cause__ = DecodeError("not JSON")
    bench.fail(fx.Handle, failure)
    bench.consume({P0: messages(range(20))})
    assert buried(bench.store.dead_letters) == list(range(20))
