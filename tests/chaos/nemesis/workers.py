"""Faults of the worker processes, and of the group that they form."""

from __future__ import annotations

import signal
import time

from tests.chaos.crew import Line, Member
from tests.chaos.nemesis.field import SESSION_TIMEOUT, Field, Outcome
from tests.chaos.plan import Fault

POINT_SECONDS = 60.0  # a worker passes every point in a moment, unless the machine is busy
HOOKS = {
    "kill in the handler": "written",
    "kill after the offset write": "advanced",
    "kill after the commit": "committed",
}


def kill(field: Field, fault: Fault) -> Outcome:
    """``kill -9`` at any moment."""
    member = working(field, fault)
    owned = field.owned(member)
    since = member.signal(signal.SIGKILL)
    return _after_death(field, member, owned, since)


def kill_at_point(field: Field, fault: Fault) -> Outcome:
    """``kill -9`` in the handler, when the offset was written, or right after the commit."""
    member = working(field, fault)
    owned = field.owned(member)
    line = _at_point(member, HOOKS[fault.kind], "kill")
    if line is None:
        return Outcome(False, note="it did not come to the point")
    return _after_death(field, member, owned, line["at"])


def kill_before_reply(field: Field, fault: Fault) -> Outcome:
    """``kill -9`` when the commit was sent and answered, and the answer not yet received."""
    member = working(field, fault)
    owned = field.owned(member)
    losses = field.proxies.losses(member.slot)
    field.proxies.begin(member.slot, "hold commits")
    held = wait_for_loss(field, member.slot, losses)
    since = member.signal(signal.SIGKILL)
    member.wait_until_gone(5)
    field.proxies.end(member.slot, "hold commits")
    if not held:
        return Outcome(False, since, list(owned), "no commit came")
    return _after_death(field, member, owned, since)


def zombie(field: Field, fault: Fault) -> Outcome:
    """Stop a worker at a point, until others have its partitions; then let it go on."""
    member = working(field, fault)
    owned = field.owned(member)
    line = _at_point(member, fault.parameters["point"], "stop")
    if line is None:
        return Outcome(False, note="it did not come to the point")
    taken = field.taken_over(owned, SESSION_TIMEOUT + 15)
    field.moved(list(owned), line["at"], 5)
    woken = member.signal(signal.SIGCONT)
    noticed = member.wait_for("claimed", woken, 10) or member.wait_for("exit", woken, 0.1)
    fenced = len(member.heard("fenced", woken))
    retried = len(member.heard("store retry", woken))
    note = f"fenced {fenced}, retried {retried}" if noticed else "it has not come back yet"
    return Outcome(taken, line["at"], list(owned), note)


def terminate(field: Field, fault: Fault) -> Outcome:
    """SIGTERM: the worker drains, leaves and ends with 0; a new one is started."""
    member = working(field, fault)
    owned = field.owned(member)
    since = member.signal(signal.SIGTERM)
    ended = member.wait_until_gone(30) and member.code == 0
    field.moved(list(owned), since, 10)
    return Outcome(ended, since, list(owned), f"ended with {member.code}")


def churn(field: Field, fault: Fault) -> Outcome:
    """A member leaves the group and joins again."""
    member = working(field, fault)
    owned = field.owned(member)
    since = time.monotonic()
    member.tell(rejoin=1)
    left = member.wait_for("left", since, 20)
    taken = bool(left) and field.taken_over(owned, 10)
    field.moved(list(owned), since, 10)
    return Outcome(taken, since, list(owned), fault.parameters["protocol"])


def protocol(field: Field, fault: Fault) -> Outcome:
    """The whole group leaves, and comes back with another protocol."""
    before = dict(field.changes.epochs)
    ended = field.crew.switch(settings_for(fault.parameters["protocol"]))
    since = time.monotonic()
    taken = field.taken_over(before, 25)
    field.moved(None, since, 10)
    return Outcome(ended and taken, since, None, fault.parameters["protocol"])


def clock_jump(field: Field, fault: Fault) -> Outcome:
    """The worker's wall clock jumps (``time.time`` of its process)."""
    member = working(field, fault)
    since = time.monotonic()
    member.tell(clock=fault.parameters["seconds"])
    line = member.wait_for("clock", since, POINT_SECONDS)
    return Outcome(line is not None, since, None, f"by {fault.parameters['seconds']} s")


def settings_for(protocol: str) -> dict[str, object]:
    """Return the settings of librdkafka for a protocol of groups."""
    if protocol == "consumer":  # KIP-848: the broker sets the times
        return {"group.protocol": "consumer"}
    return {
        "partition.assignment.strategy": protocol,
        "session.timeout.ms": int(SESSION_TIMEOUT * 1000),
        "heartbeat.interval.ms": 400,
    }


def working(field: Field, fault: Fault) -> Member:
    """Return the target, once it has partitions; else another that has some."""
    until = time.monotonic() + 15
    while time.monotonic() < until:
        for slot in range(len(field.crew.members)):
            member = field.crew[fault.target + slot]
            if member.alive and field.owned(member):
                return member
        time.sleep(0.1)
    return field.crew[fault.target]


def _at_point(member: Member, point: str, do: str) -> Line | None:
    """Let a worker kill or stop itself at a point; None if it did not come there."""
    armed = time.monotonic()
    member.tell(arm=point, do=do)
    line = member.wait_for("point", armed, POINT_SECONDS)
    if line is None:
        member.tell(disarm=1)
    return line


def wait_for_loss(field: Field, slot: int, before: int) -> bool:
    """Wait until a worker has lost more replies than ``before``; False if it did not."""
    until = time.monotonic() + POINT_SECONDS
    while field.proxies.losses(slot) == before:
        if time.monotonic() > until:
            return False
        time.sleep(0.002)
    return True


def _after_death(field: Field, member: Member, owned: dict, since: float) -> Outcome:  # type: ignore[type-arg]
    gone = member.wait_until_gone(5)
    taken = field.taken_over(owned)
    field.moved(list(owned), since)
    took = gone and member.code == -signal.SIGKILL and bool(owned)
    return Outcome(took, since, list(owned), f"{len(owned)} partitions, taken over: {taken}")


KINDS = {
    "kill": kill,
    "kill in the handler": kill_at_point,
    "kill after the offset write": kill_at_point,
    "kill after the commit": kill_at_point,
    "kill before the commit's reply": kill_before_reply,
    "zombie": zombie,
    "terminate": terminate,
    "churn": churn,
    "protocol": protocol,
    "clock jump": clock_jump,
}
