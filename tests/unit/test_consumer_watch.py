"""Counters, hooks and the flag behind stop."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from typing import Any

import pytest

from eoconsumer import Events, Message, Record, TopicPartition, Trace
from eoconsumer.core.effects import Run
from eoconsumer.runner.watch import Watch

P0 = TopicPartition("moves", 0)
RUN = Run(P0, [Message(Record("moves", 0, n), None) for n in (7, 8)])
ERROR = ValueError("no")
REPORTS: dict[str, dict[str, Any]] = {
    "claimed": {"positions": {P0: 7}},
    "fenced": {"partition": P0},
    "committed": {"runs": (RUN,), "seconds": 0.1},
    "retry": {"partition": P0, "offset": 7, "error": ERROR, "attempt": 1, "delay": 0.2},
    "skipped": {"message": RUN.messages[0], "error": ERROR, "attempts": 3},
    "buried": {"message": RUN.messages[0], "error": ERROR, "attempts": 3},
    "parked": {"messages": RUN.messages},
    "lifted": {"partition": P0},
    "not_ready": {"error": ERROR, "tries": 1},
    "store_retry": {"error": ERROR, "tries": 1},
    "in_doubt_resolved": {"committed": True, "tries": 1},
    "advance_failed": {"error": ERROR},
    "release_failed": {"error": ERROR},
    "doubted": {"partition": P0, "reason": "its topic has another id"},
    "identity_changed": {"partition": P0, "error": ERROR, "position": 0},
    "data_lost": {"partition": P0, "error": ERROR, "position": 17, "missing": 7},
    "stage_failed": {"error": ERROR, "messages": 2},
    "restarted": {"error": ERROR, "attempt": 1, "delay": 0.5},
}


class Seen(Events):
    """Remembers every call, by name."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattribute__(self, name: str) -> Any:
        if name in REPORTS:
            return lambda **details: self.calls.append((name, details))
        return super().__getattribute__(name)


class Broken(Events):
    """Every hook raises."""

    def __getattribute__(self, name: str) -> Any:
        if name in (*REPORTS, "trace"):
            raise RuntimeError("a hook that is broken")
        return super().__getattribute__(name)


def test_there_is_a_hook_for_every_report_and_none_without_one() -> None:
    hooks = {name for name in vars(Events) if not name.startswith("_")}
    assert hooks == {*REPORTS, "trace"}


@pytest.mark.parametrize("name", REPORTS)
def test_a_hook_gets_what_is_reported_by_the_names_of_its_parameters(name: str) -> None:
    getattr(Events(), name)(**REPORTS[name])
    seen = Seen()
    Watch(seen).report(name, REPORTS[name])
    assert seen.calls == [(name, REPORTS[name])]


@pytest.mark.parametrize("name", REPORTS)
def test_an_error_in_a_hook_is_logged_and_goes_no_further(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Watch(Broken())
    watch.report(name, REPORTS[name])
    watch.trace(Trace("moves", 0, 7, 1, "handle", 0.1))
    assert f"the hook {name} failed" in caplog.text
    assert "the hook trace failed" in caplog.text


@pytest.mark.parametrize("name", REPORTS)
def test_what_is_logged_can_be_written_as_text(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "eoconsumer")
    Watch(Events()).report(name, REPORTS[name])
    for record in caplog.records:
        assert record.getMessage()


def test_the_counters_count_what_their_names_say() -> None:
    watch = Watch(Events())
    for name, details in REPORTS.items():
        watch.report(name, details)
    watch.report("in_doubt_resolved", {"committed": False, "tries": 2})
    seen = watch.snapshot()
    assert (seen.committed, seen.batches, seen.claims, seen.fenced) == (2, 1, 1, 1)
    assert (seen.retries, seen.skipped, seen.buried, seen.store_retries) == (1, 1, 1, 1)
    assert (seen.in_doubt_committed, seen.in_doubt_repeated) == (1, 1)
    assert (seen.stage_failures, seen.restarts) == (1, 1)
    assert seen.positions == {P0: 9}


def test_a_snapshot_does_not_change_later() -> None:
    watch = Watch(Events())
    before = watch.snapshot()
    watch.report("committed", REPORTS["committed"])
    assert before.committed == 0
    assert before.positions == {}


@pytest.mark.requirement("S3-25")
def test_a_trace_is_logged_with_its_fields_as_data(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "eoconsumer.trace")
    watch = Watch(Events())
    assert watch.tracing
    watch.trace(Trace("moves", 3, 41, 2, "handle", 0.25, ERROR))
    [record] = caplog.records
    assert record.__dict__["trace"] == {
        "topic": "moves",
        "partition": 3,
        "offset": 41,
        "attempt": 2,
        "stage": "handle",
        "seconds": 0.25,
        "error": ERROR,
    }


def test_nothing_is_traced_where_nobody_looks() -> None:
    assert not Watch(Events()).tracing


INTERRUPTED = """
import signal, time
from eoconsumer.runner.flag import Flag

flag, sets = Flag(), 0

def interrupt(*_):
    global sets
    sets += 1
    flag.set()

signal.signal(signal.SIGALRM, interrupt)
signal.setitimer(signal.ITIMER_REAL, 5e-5, 5e-5)
until = time.monotonic() + 1
while time.monotonic() < until:
    flag.wait(0.0005)
    flag.clear()
signal.setitimer(signal.ITIMER_REAL, 0)
assert sets > 100, sets
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="signals of POSIX")
def test_a_signal_that_interrupts_the_flag_and_sets_it_never_locks_up() -> None:
    subprocess.run([sys.executable, "-c", INTERRUPTED], check=True, timeout=30)


@pytest.mark.parametrize("name", ["retry", "skipped", "buried", "restarted"])
def test_an_error_is_logged_without_the_password_of_its_url(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    error = ValueError("no answer from postgresql://app:s3cret@db/shop")
    details = {"partition": P0, "offset": 7, "attempt": 1, "attempts": 1, "delay": 0.1}
    Watch(Events()).report(name, {**details, "message": "orders[0]@7", "error": error})
    assert "postgresql://***@db/shop" in caplog.text
    assert "s3cret" not in caplog.text
