"""The form "writes": a handler is asked once, and what it returns is sent for all together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from bench import P0, P1, Bench, messages

from eoconsumer import Consumer, Message
from eoconsumer.core import effects as fx
from eoconsumer.core.effects import Run, RunFailed
from eoconsumer.core.modes import Mode
from eoconsumer.core.retry import RetryPolicy
from eoconsumer.errors import ConfigurationError, HandlerMisuse, TransientStoreError, WriteFailed
from eoconsumer.runner.user import Work
from eoconsumer.runner.watch import Watch
from eoconsumer.stores.memory import MemoryStore
from eoconsumer.telemetry import Events, Trace

RUNS = (Run(P0, messages(range(3), P0)), Run(P1, messages(range(2), P1)))


class Side:
    """A handler, and what became of its writes."""

    def __init__(
        self,
        handler: Callable[[Message], Any],
        *,
        answer: Exception | None = None,
        events: Events | None = None,
    ) -> None:
        self.called: list[tuple[int, int]] = []
        self.store = MemoryStore()
        self.answer = answer
        self.sent: list[Sequence[Any]] = []
        consumer = Consumer("localhost:1", self.store, group="ledger")

        @consumer.on("moves", form="writes")
        def handle(message: Message) -> Any:
            self.called.append((message.partition, message.offset))
            return handler(message)

        self.work = Work(
            consumer._user(), Watch(events or Events()), self.store.open("ledger", "a")
        )

    def write(self, writes: Sequence[Any]) -> None:
        self.sent.append(list(writes))
        if self.answer is not None:
            raise self.answer

    def handle(self, *runs: Run) -> None:
        """Begin, and give the runs to the handler."""
        self.work.recording.start()
        for run in runs:
            self.work.handle(run, None, attempt=1, inside=True, until=None)

    def send(self, *, inside: bool = True) -> None:
        self.work.write(self, inside=inside, until=None)  # type: ignore[arg-type]  # it stands for a scope

    def abort(self) -> None:
        self.work.recording.keep()


def place(message: Message) -> list[tuple[str, int]]:
    return [("ledger", message.offset)]


def yielding(message: Message) -> Iterator[tuple[str, int]]:
    yield "ledger", message.offset


@pytest.mark.parametrize("handler", [place, yielding])
def test_the_writes_of_all_runs_are_sent_in_one_go(handler: Callable[[Message], Any]) -> None:
    side = Side(handler)
    side.handle(*RUNS)
    side.send()
    assert side.sent == [[("ledger", n) for n in (0, 1, 2, 0, 1)]]


def test_a_handler_may_return_nothing_or_a_write_on_its_own() -> None:
    one = object()
    side = Side(lambda message: one if message.offset == 1 else None)
    side.handle(RUNS[0])
    side.send()
    assert side.sent == [[one]]


def test_nothing_is_sent_where_nothing_is_to_be_written() -> None:
    side = Side(lambda _: None)
    side.handle(RUNS[0])
    side.send()
    assert side.sent == []


@pytest.mark.requirement("S3-18")
def test_a_replay_sends_the_recorded_writes_and_does_not_ask_again() -> None:
    side = Side(yielding, answer=TransientStoreError())
    for _ in range(3):
        side.handle(*RUNS)
        with pytest.raises(TransientStoreError):
            side.send()
        side.abort()
    assert len(side.called) == 5
    assert side.sent[0] == side.sent[1] == side.sent[2]


def test_what_was_recorded_before_is_not_traced_as_handled_once_more() -> None:
    traced: list[tuple[str, int]] = []

    class Tracing(Events):
        def trace(self, trace: Trace) -> None:
            traced.append((trace.stage, trace.offset))

    side = Side(place, events=Tracing())
    for _ in range(2):
        side.handle(RUNS[0])
        side.abort()
    assert traced == [("handle", 0), ("handle", 1), ("handle", 2)]


def test_a_replay_of_a_part_asks_for_nothing_either() -> None:
    side = Side(lambda message: None if message.offset == 1 else place(message))
    side.handle(*RUNS)
    side.abort()
    side.handle(RUNS[1])
    side.send()
    side.handle(RUNS[0].since(1))
    side.send()
    assert len(side.called) == 5
    assert side.sent == [[("ledger", 0)], [("ledger", 2)]]


def test_a_handler_that_fails_while_it_yields_leaves_nothing_behind() -> None:
    def handler(message: Message) -> Iterator[tuple[str, int]]:
        yield "ledger", message.offset
        if message.offset == 1 and len(side.called) < 3:
            raise ValueError

    side = Side(handler)
    with pytest.raises(RunFailed):
        side.handle(RUNS[0])
    side.abort()
    side.handle(RUNS[0])
    side.send()
    assert side.sent == [[("ledger", 0), ("ledger", 1), ("ledger", 2)]]
    assert side.called == [(0, 0), (0, 1), (0, 1), (0, 2)]


def test_what_is_remembered_is_forgotten_with_its_partition() -> None:
    side = Side(place)
    side.handle(*RUNS)
    side.abort()
    side.work.revoked([P0])
    assert side.work.recording.remembered == len(RUNS[1])
    side.handle(*RUNS)
    assert len(side.called) == 5 + len(RUNS[0])


def test_what_is_remembered_of_a_message_that_was_passed_over_is_forgotten() -> None:
    side = Side(place)
    side.handle(RUNS[0])
    side.abort()
    left = RUNS[0].dropping([1])
    side.handle(left)
    assert side.work.recording.remembered == 1
    side.work.after_commit([left])
    assert side.work.recording.remembered == 0


def test_outside_of_a_transaction_the_handler_is_asked_again() -> None:
    side = Side(place, answer=TransientStoreError())
    for _ in range(2):
        side.handle(RUNS[0])
        with pytest.raises(RunFailed):
            side.send(inside=False)
    assert len(side.called) == 6


@pytest.mark.requirement("N4")
@pytest.mark.parametrize(
    ("index", "partition", "offset"), [(0, P0, 0), (3, P0, 1), (6, P1, 0), (9, P1, 1)]
)
def test_a_refused_write_leads_to_its_message(index: int, partition: Any, offset: int) -> None:
    side = Side(lambda message: [*place(message), *place(message)], answer=WriteFailed(index))
    side.handle(*RUNS)
    with pytest.raises(RunFailed) as failed:
        side.send()
    assert (failed.value.partition, failed.value.offset) == (partition, offset)


def test_of_several_runs_none_is_blamed_for_a_write_that_nobody_named() -> None:
    side = Side(place, answer=WriteFailed(None))
    side.handle(*RUNS)
    with pytest.raises(RunFailed) as failed:
        side.send()
    assert (failed.value.partition, failed.value.offset) == (None, None)


def test_a_handler_that_fails_has_touched_nothing_before() -> None:
    def handler(message: Message) -> Any:
        return 1 / (message.offset - 1)

    side = Side(handler)
    with pytest.raises(RunFailed) as failed:
        side.handle(RUNS[0])
    assert (failed.value.offset, failed.value.before) == (1, "untouched")


def test_the_memory_store_refuses_what_is_no_write() -> None:
    session = MemoryStore().open("ledger", "a")
    with pytest.raises(HandlerMisuse, match="returned a str"):
        session.write(["ledger"])


# --- what the core makes of it ------------------------------------------------------------------


def test_a_message_is_not_poison_for_the_write_of_another_run() -> None:
    bench = Bench(on_poison="bury", retry=RetryPolicy(attempts=1)).own(P0, P1)
    bench.fail(fx.Write, RunFailed(None, None))
    bench.consume({P0: messages([0], P0), P1: messages([0], P1)})
    assert bench.store.dead_letters == []
    assert bench.stored(P0) == bench.stored(P1) == 1
    begun = [tuple(run.partition for run in write.runs) for write in bench.all(fx.Write)]
    assert begun == [(P0, P1), (P0,), (P1,)]


def test_at_most_once_gives_up_the_one_message_whose_handler_failed_before_any_write() -> None:
    bench = Bench(mode=Mode.AT_MOST_ONCE, on_poison="bury").own(P0)
    failure = RunFailed(P0, 1, before="untouched")
    failure.__cause__ = ValueError()
    bench.fail(fx.Handle, failure)
    bench.consume({P0: messages(range(4), P0)})
    assert bench.effects == [0, 2, 3]
    assert [letter.message.offset for letter in bench.store.dead_letters] == [1]


def test_at_least_once_does_not_take_what_was_only_asked_for_as_handled() -> None:
    bench = Bench(mode=Mode.AT_LEAST_ONCE, retry=RetryPolicy(minimum=0, maximum=0)).own(P0)
    failure = RunFailed(P0, 2, before="untouched")
    failure.__cause__ = ValueError()
    bench.fail(fx.Handle, failure)
    bench.consume({P0: messages(range(4), P0)})
    assert bench.effects == [0, 1, 2, 3]


# --- how it is registered -----------------------------------------------------------------------


def test_a_subclass_may_yield_its_writes() -> None:
    class Ledger(Consumer):
        topics = "moves"
        group = "ledger"

        def writes(self, message: Message) -> Iterator[Any]:
            yield "ledger", message.offset

    assert Ledger("localhost:1", MemoryStore())


def test_a_coroutine_is_refused_in_this_form_too() -> None:
    consumer = Consumer("localhost:1", MemoryStore(), group="ledger")
    with pytest.raises(ConfigurationError, match="coroutine"):

        @consumer.on("moves", form="writes")
        async def handle(message: Message) -> Any:
            return place(message)


def test_two_forms_are_refused_whichever_they_are() -> None:
    class Two(Consumer):
        topics = "moves"
        group = "ledger"

        def writes(self, message: Message) -> Any: ...

        def handle(self, message: Message, session: Any) -> None: ...

    with pytest.raises(ConfigurationError, match="Two defines handle and writes"):
        Two("localhost:1", MemoryStore())
