"""Faults of the way between a worker and its database."""

from __future__ import annotations

import time

from tests.chaos.nemesis.field import Field, Outcome, eventually
from tests.chaos.nemesis.workers import wait_for_loss, working
from tests.chaos.plan import Fault

TRIES = 3
DOUBT = 20.0  # seconds, at most; a row that is there tells at once


def lost_commit_reply(field: Field, fault: Fault) -> Outcome:
    """A commit is passed on, its reply is lost, and the connection is cut; the worker lives on.

    Until it was the commit of a batch, about which the worker is in doubt; claims commit as well.
    """
    tries, decided = 0, None
    owned, since = [], time.monotonic()
    while decided is None and tries < TRIES:
        tries += 1
        member = working(field, fault)
        owned = list(field.owned(member))
        losses, begun = field.proxies.losses(member.slot), time.monotonic()
        field.proxies.begin(member.slot, "hold commits")
        wait_for_loss(field, member.slot, losses)
        field.proxies.end(member.slot, "hold commits")
        since = time.monotonic()
        decided = member.wait_for("in doubt", begun, DOUBT)
    field.moved(owned, since, 20)
    note = f"committed: {decided['committed']}" if decided else "it was in no doubt"
    return Outcome(decided is not None, since, owned, note)


def replies_dropped(field: Field, fault: Fault) -> Outcome:
    """What the database answers to a worker is lost for a while; then its connections are cut."""
    return _one_way(field, fault, "drop replies")


def requests_dropped(field: Field, fault: Fault) -> Outcome:
    """What a worker asks of the database is lost for a while; then its connections are cut."""
    return _one_way(field, fault, "drop requests")


def _one_way(field: Field, fault: Fault, rule: str) -> Outcome:
    slot = fault.target
    before = field.proxies.losses(slot)
    field.proxies.begin(slot, rule)
    eventually(lambda: field.proxies.losses(slot) > before, 15)  # a new worker takes a while
    time.sleep(fault.parameters["seconds"])
    field.proxies.end(slot, rule)
    since = time.monotonic()
    lost = field.proxies.losses(slot) - before
    owned = list(field.owned(field.crew[slot]))
    field.moved(owned, since, 20)
    return Outcome(lost > 0, since, owned, f"{lost} pieces")


def connection_reset(field: Field, fault: Fault) -> Outcome:
    """All connections of a worker to the database are reset."""
    cut = 0

    def reset() -> bool:
        nonlocal cut
        cut = field.proxies.cut(fault.target)
        return cut > 0

    eventually(reset, 15)  # a new worker takes a while
    since = time.monotonic()
    owned = list(field.owned(field.crew[fault.target]))
    field.moved(owned, since, 20)
    return Outcome(cut > 0, since, owned, f"{cut} connections")


KINDS = {
    "lost commit reply": lost_commit_reply,
    "replies dropped": replies_dropped,
    "requests dropped": requests_dropped,
    "connection reset": connection_reset,
}
