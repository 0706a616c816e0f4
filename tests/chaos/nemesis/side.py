"""What destroys a topic, or a part of it; done to the side topic."""

from __future__ import annotations

import signal
import time

from tests.chaos.nemesis.field import Field, Outcome, eventually
from tests.chaos.plan import Fault
from tests.chaos.side import DEADLINE

FEW, MANY = 10, 40  # messages


def recreated(field: Field, fault: Fault) -> Outcome:
    """Delete and re-create the topic while nobody consumes; its new life is the longer one."""
    del fault
    side = field.side
    _begin(field)
    side.end_worker()
    side.recreate()
    side.produce(MANY)
    since = time.monotonic()
    side.begin_worker()
    return _end(field, "identity changed", since)


def recreated_running(field: Field, fault: Fault) -> Outcome:
    """The same under a running worker; the new life begins when the worker has seen it."""
    del fault
    _begin(field)
    since = time.monotonic()
    field.side.recreate()
    field.side.worker.wait_for("identity changed", since, DEADLINE)
    field.side.produce(MANY)
    return _end(field, "identity changed", since)


def expired(field: Field, fault: Fault) -> Outcome:
    """Retention passes the position of a worker that stands still."""
    del fault
    side = field.side
    _begin(field)
    side.worker.signal(signal.SIGSTOP)
    side.produce(1)  # they answer the fetch that is on its way, which would bring all of the many
    side.produce(MANY)
    side.expire(left=FEW)
    since = side.worker.signal(signal.SIGCONT)
    return _end(field, "data lost", since)


def _begin(field: Field) -> None:
    """Let the worker stand somewhere in the log."""
    field.side.begin_worker()
    field.side.produce(FEW)
    eventually(field.side.drained, DEADLINE)


def _end(field: Field, said: str, since: float) -> Outcome:
    line = field.side.worker.wait_for(said, since, DEADLINE)
    drained = eventually(field.side.drained, DEADLINE)
    note = f"life {field.side.life}, {said}: {line is not None}, at the end: {drained}"
    return Outcome(line is not None and drained, note=note)


KINDS = {
    "topic re-created": recreated,
    "topic re-created under a worker": recreated_running,
    "retention passes the position": expired,
}
