"""The applied-log has what the handler got, whatever fails beside it."""

from __future__ import annotations

import pytest
from bench import GROUP, P0, P1, Bench, LostReply, messages
from letterbox import Redriving, bury

from eoconsumer.core import effects as fx
from eoconsumer.core.applied import REDRIVEN, Applied
from eoconsumer.core.modes import Mode
from eoconsumer.core.redrive import STEPS
from eoconsumer.core.retry import RetryPolicy
from eoconsumer.errors import TransientStoreError
from eoconsumer.message import TopicPartition
from eoconsumer.stores.memory import MemoryStore

pytestmark = pytest.mark.requirement("N8")
EVERY_MODE = pytest.mark.parametrize("mode", list(Mode))
WITHOUT_TRANSACTION = pytest.mark.parametrize("mode", [Mode.AT_LEAST_ONCE, Mode.AT_MOST_ONCE])
ONCE = RetryPolicy(attempts=1)


def log(bench: Bench, key: TopicPartition = P0) -> list[Applied]:
    return list(bench.store.applied(GROUP, key, 0, 1_000))


def logged(bench: Bench, key: TopicPartition = P0) -> list[int]:
    return [offset for line in log(bench, key) for offset in line.offsets]


@EVERY_MODE
def test_each_run_has_its_line_under_the_epoch_of_its_owner(mode: Mode) -> None:
    bench = Bench(mode=mode, applied_log=True).own(P0, P1)
    bench.consume({P0: messages([0, 1, 5]), P1: messages([7], P1)}, {P0: messages([6])})
    assert log(bench) == [Applied(P0, 1, 1, ((0, 2), (5, 6))), Applied(P0, 1, 2, ((6, 7),))]
    assert log(bench, P1) == [Applied(P1, 1, 1, ((7, 8),))]


@EVERY_MODE
def test_there_is_no_log_where_none_is_asked_for(mode: Mode) -> None:
    bench = Bench(mode=mode).own(P0).consume({P0: messages(range(3))})
    assert bench.all(fx.NoteApplied) == []


@pytest.mark.parametrize(
    ("mode", "culprit_known"),
    [(mode, True) for mode in Mode]
    + [(mode, False) for mode in Mode if mode is not Mode.AT_MOST_ONCE],  # it gives up all of them
)
@pytest.mark.parametrize("on_poison", ["skip", "bury"])
def test_a_message_that_passed_the_handler_by_is_told_apart(
    mode: Mode, culprit_known: bool, on_poison: str
) -> None:
    bench = Bench(
        mode=mode,
        applied_log=True,
        poison={3: ValueError()},
        culprit_known=culprit_known,
        retry=ONCE,
        on_poison=on_poison,
    )
    bench.own(P0).consume({P0: messages(range(6))})
    assert logged(bench) == sorted(set(bench.effects)) == [0, 1, 2, 4, 5]
    assert [offset for line in log(bench) for offset in line.passed] == [3]


@pytest.mark.parametrize("error", [TransientStoreError(), LostReply(TransientStoreError())])
@WITHOUT_TRANSACTION
def test_outside_of_a_transaction_a_line_is_written_again_but_nothing_is_handled_again(
    mode: Mode, error: Exception
) -> None:
    bench = Bench(mode=mode, applied_log=True).own(P0)
    bench.fail(fx.NoteApplied, error)
    bench.consume({P0: messages(range(3))})
    assert bench.effects == [0, 1, 2]
    assert log(bench) == [Applied(P0, 1, 1, ((0, 3),))]


def test_in_a_transaction_that_is_done_again_the_line_of_the_first_try_is_gone() -> None:
    bench = Bench(applied_log=True).own(P0)
    bench.fail(fx.Advance, TransientStoreError())
    bench.consume({P0: messages(range(3))})
    assert log(bench) == [Applied(P0, 1, 2, ((0, 3),))]


# --- dead letters that are redriven ---------------------------------------------------------------


@EVERY_MODE
def test_a_letter_that_is_redriven_has_a_line_of_its_own(mode: Mode) -> None:
    store = MemoryStore()
    bury(store, [3, 5])
    redriving = Redriving(store, {5: ValueError()}, steps=STEPS[mode], applied_log=True)
    redriving.run()
    assert [(line.epoch, line.ranges) for line in store.log.values()] == [(REDRIVEN, ((3, 4),))]


@WITHOUT_TRANSACTION
def test_a_letter_is_not_handled_again_for_its_line(mode: Mode) -> None:
    store = MemoryStore()
    bury(store, [3])
    redriving = Redriving(store, steps=STEPS[mode], applied_log=True)
    faults = [TransientStoreError()]
    redriving.fault = lambda effect: (
        faults.pop() if faults and isinstance(effect, fx.NoteApplied) else None
    )
    redriving.run()
    assert redriving.handler.called == [3]
    assert len(store.log) == 1
