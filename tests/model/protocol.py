"""The protocol of claim, advance and commit as a state machine: pure, small, hashable.

One partition with three messages, two processes that may own it, one row, one database with
snapshot isolation, and Kafka, which says whose turn it is. ``successors`` gives every step that is
possible in a state, faults among them. There is no bound on the faults: the states are finite.

Epochs are only ever compared with that of the row, and the row's only grows. So of each claim it
is enough to know whether it is the last one (``latest``), and of each open transaction whether the
row has changed since it began (``fresh``): that is what keeps the states finite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

OFFSETS = (0, 1, 3)  # with a gap, as after a transaction's marker
END = OFFSETS[-1] + 1

# What an owner is doing. Everything but the first two is a batch in hand.
UNCLAIMED = "unclaimed"
OWNED = "owned"
CLAIMING = "claiming"  # its claim is written, and not read back yet
OPEN = "open"  # in a transaction, the handler wrote
ADVANCED = "advanced"  # the row was compared and written, in the transaction
SENT = "sent"  # no answer to the commit, which is on its way
COMMITTED = "committed"  # no answer to the commit, which happened
STORED = "stored"  # at-most-once: the offset is stored and the handler still to run


class Batch(NamedTuple):
    """A transaction: the messages from ``start`` to below ``upto``, and what became of it."""

    start: int
    upto: int
    latest: bool  #: its epoch is that of the row
    fresh: bool  #: the row is as it was when the transaction began


class Owner(NamedTuple):
    """A process, as it sees itself. A crash makes it a new one."""

    assigned: bool = False
    phase: str = UNCLAIMED
    position: int = 0
    latest: bool = False  #: its epoch is that of the row
    batch: Batch | None = None


class State(NamedTuple):
    """Everything there is."""

    owners: tuple[Owner, Owner] = (Owner(), Owner())
    position: int = 0  #: of the row
    effects: tuple[int, ...] = (0,) * len(OFFSETS)  #: how many of each message are visible
    disordered: bool = False  #: one became visible after that of a later message
    member: int | None = None  #: whose the partition is, as Kafka sees it
    late: frozenset[Batch] = frozenset()  #: commits on their way whose senders gave them up
    trespassed: bool = False  #: somebody else than the last claimer has changed the row


@dataclass(frozen=True)
class Protocol:
    """The rules; the defaults are those of ``exactly_once``. Each can be taken out."""

    offset: Literal["inside", "after", "before"] = "inside"
    compares_position: bool = True
    compares_epoch: bool = True
    claim_writes: bool = True  #: a claim raises the epoch, and does not only read
    starts_from_row: bool = True
    reads_primary: bool = True
    asks_position: bool = True  #: after a commit in doubt; else the batch is done again unasked
    drops_at_revoke: bool = True
    upserts: bool = False  #: an upsert: no match is a duplicate key, and not a fence
    first_committer_wins: bool = True  #: the database's part: snapshot isolation


class Step(NamedTuple):
    """One step: who, what, and whether it is a disturbance that need not happen."""

    who: int | None
    action: str
    fault: bool
    state: State


Moves: TypeAlias = Iterator[tuple[str, bool, State]]


def successors(state: State, protocol: Protocol) -> Iterator[Step]:
    """Return every step that is possible in ``state``."""
    for who in (0, 1):
        for action, fault, after in _kafka(state, who, protocol):
            yield Step(who, action, fault, after)
        for action, fault, after in _PHASES[state.owners[who].phase](state, who, protocol):
            yield Step(who, action, fault, after)
    for batch in state.late:
        landed = _land(state._replace(late=state.late - {batch}), batch, protocol)
        yield Step(None, f"late commit lands {batch.upto}", False, landed)


def _kafka(state: State, who: int, protocol: Protocol) -> Moves:
    """Kafka gives and takes the partition, with or without telling; a process dies."""
    owner = state.owners[who]
    between_batches = owner.phase in (UNCLAIMED, OWNED)
    if state.member is None and not owner.assigned:
        yield "assigned", False, _with(state, who, Owner(assigned=True))._replace(member=who)
    left = Owner() if protocol.drops_at_revoke else owner._replace(assigned=False)
    if state.member == who:
        yield "expires unaware", True, state._replace(member=None)
        if between_batches:
            yield "revoked", True, _with(state, who, left)._replace(member=None)
    elif owner.assigned and between_batches:
        yield "told that it lost", False, _with(state, who, left)
    if owner != Owner():
        member = None if state.member == who else state.member
        dead = _with(_give_up(state, owner, protocol), who, Owner())
        yield "crashes", True, dead._replace(member=member)


# --- the phases ---------------------------------------------------------------------------------


def _unclaimed(state: State, who: int, protocol: Protocol) -> Moves:
    if state.owners[who].assigned:
        raised = _changed(state, protocol, written=protocol.claim_writes, claimed=True)
        yield "claims", False, _set(raised, who, phase=CLAIMING, latest=True)


def _claiming(state: State, who: int, protocol: Protocol) -> Moves:
    yield "claim's answer lost", True, _with(state, who, Owner(assigned=True))
    if not state.owners[who].latest:  # another claim came in between
        yield "claim superseded", False, _with(state, who, Owner(assigned=True))
        return
    for position in _read(state, protocol) if protocol.starts_from_row else (0,):
        yield f"starts at {position}", False, _set(state, who, phase=OWNED, position=position)


def _owned(state: State, who: int, protocol: Protocol) -> Moves:
    owner = state.owners[who]
    for last in (offset for offset in OFFSETS if offset >= owner.position):
        batch = Batch(owner.position, last + 1, owner.latest, fresh=True)
        began = _set(state, who, phase=OPEN, batch=batch)
        if protocol.offset == "after":
            began = _applied(began, batch)
        yield f"begins {batch.start} to {batch.upto}", False, began


def _open(state: State, who: int, protocol: Protocol) -> Moves:
    """Compare the row as the transaction sees it, and write it."""
    owner, batch = state.owners[who], _in_hand(state, who)
    yield "rolled back", True, _again(state, who)
    if not _lands(batch, protocol):
        yield "write conflict", False, _again(state, who)
    elif _ours(state, batch, protocol):
        yield f"advances to {batch.upto}", False, _set(state, who, phase=ADVANCED)
    elif protocol.upserts:
        yield "duplicate key", False, _again(state, who)
    else:
        yield "fenced", False, _with(state, who, Owner(owner.assigned))


def _advanced(state: State, who: int, protocol: Protocol) -> Moves:
    batch = _in_hand(state, who)
    yield "rolled back", True, _again(state, who)
    yield "sends a commit, no answer", True, _set(state, who, phase=SENT)
    if _lands(batch, protocol):
        landed = _land(state, batch, protocol)
        yield f"commits {batch.upto}", False, _known(landed, who, batch, protocol)
        yield f"commits {batch.upto}, answer lost", True, _set(landed, who, phase=COMMITTED)
    else:
        yield "commit refused", False, _again(state, who)


def _sent(state: State, who: int, protocol: Protocol) -> Moves:
    """A commit that is repeated looks the same from here: it commits once."""
    batch = _in_hand(state, who)
    if _lands(batch, protocol):
        landed = _land(state, batch, protocol)
        yield f"commit lands {batch.upto}", False, _set(landed, who, phase=COMMITTED)
    else:
        yield "commit refused", False, _again(state, who)
    yield from _out_of_time(state, who, protocol)


def _committed(state: State, who: int, protocol: Protocol) -> Moves:
    yield "hears of its commit", False, _known(state, who, _in_hand(state, who), protocol)
    yield from _out_of_time(state, who, protocol)


def _out_of_time(state: State, who: int, protocol: Protocol) -> Moves:
    """The commit was repeated for long enough: the position decides."""
    owner, batch = state.owners[who], _in_hand(state, who)
    for position in _read(state, protocol) if protocol.asks_position else (None,):
        if position == batch.upto and owner.latest:
            yield "finds its commit", False, _known(state, who, batch, protocol)
        else:
            given_up = _give_up(state, owner, protocol)
            yield "does not find its commit", False, _again(given_up, who)


def _stored(state: State, who: int, protocol: Protocol) -> Moves:
    del protocol
    batch = _in_hand(state, who)
    done = _set(state, who, phase=OWNED, position=batch.upto, batch=None)
    yield f"handles {batch.start} to {batch.upto}", False, _applied(done, batch)


_PHASES: Mapping[str, Callable[[State, int, Protocol], Moves]] = {
    UNCLAIMED: _unclaimed,
    CLAIMING: _claiming,
    OWNED: _owned,
    OPEN: _open,
    ADVANCED: _advanced,
    SENT: _sent,
    COMMITTED: _committed,
    STORED: _stored,
}


# --- the database -------------------------------------------------------------------------------


def _read(state: State, protocol: Protocol) -> tuple[int, ...]:
    """Return what a read of the position may give: a secondary may be behind."""
    if protocol.reads_primary:
        return (state.position,)
    return tuple(sorted({0, state.position, *(o + 1 for o in OFFSETS if o < state.position)}))


def _ours(state: State, batch: Batch, protocol: Protocol) -> bool:
    """Whether the fence lets ``batch`` change the row: both halves of it matter."""
    epoch = batch.latest or not (protocol.compares_epoch and protocol.claim_writes)
    position = batch.start == state.position or not protocol.compares_position
    return epoch and position


def _lands(batch: Batch, protocol: Protocol) -> bool:
    """Whether the database lets ``batch`` commit: the first to commit wins."""
    return batch.fresh or not protocol.first_committer_wins


def _land(state: State, batch: Batch, protocol: Protocol) -> State:
    """Commit: the effects and the position become visible together."""
    trespassed = state.trespassed or not batch.latest
    state = _changed(state, protocol)._replace(position=batch.upto, trespassed=trespassed)
    return _applied(state, batch) if protocol.offset == "inside" else state


def _give_up(state: State, owner: Owner, protocol: Protocol) -> State:
    """Leave a commit that is on its way to itself."""
    if owner.phase != SENT or owner.batch is None or not _lands(owner.batch, protocol):
        return state
    return state._replace(late=state.late | {owner.batch})


# --- small changes ------------------------------------------------------------------------------


def _applied(state: State, batch: Batch) -> State:
    """Make the handler's writes visible; a third of one message is no news."""
    new = [batch.start <= offset < batch.upto for offset in OFFSETS]
    later = any(state.effects[new.index(True) + 1 :]) if any(new) else False
    effects = tuple(min(2, n + more) for n, more in zip(state.effects, new, strict=True))
    return state._replace(effects=effects, disordered=state.disordered or later)


def _changed(
    state: State, protocol: Protocol, *, written: bool = True, claimed: bool = False
) -> State:
    """Note in all that is open that the row was written, or that there is a later claim.

    A transaction that cannot land any more is like every other such, and if nobody waits for it
    it is forgotten: that keeps the states few.
    """

    def batch_saw(batch: Batch) -> Batch:
        latest, fresh = batch.latest and not claimed, batch.fresh and not written
        saw = Batch(batch.start, batch.upto, latest, fresh)
        return saw if _lands(saw, protocol) else saw._replace(latest=False)

    def owner_saw(owner: Owner) -> Owner:
        batch = owner.batch and batch_saw(owner.batch)
        if batch and owner.phase == OPEN and not _lands(batch, protocol):
            batch = batch._replace(upto=batch.start)
        return Owner(
            owner.assigned, owner.phase, owner.position, owner.latest and not claimed, batch
        )

    first, second = state.owners
    late = frozenset(batch for batch in map(batch_saw, state.late) if _lands(batch, protocol))
    return state._replace(owners=(owner_saw(first), owner_saw(second)), late=late)


def _known(state: State, who: int, batch: Batch, protocol: Protocol) -> State:
    """Let the owner know that ``batch`` is committed."""
    if protocol.offset == "before":
        return _set(state, who, phase=STORED)
    return _set(state, who, phase=OWNED, position=batch.upto, batch=None)


def _again(state: State, who: int) -> State:
    """Let the owner do its batch again."""
    return _set(state, who, phase=OWNED, batch=None)


def _in_hand(state: State, who: int) -> Batch:
    batch = state.owners[who].batch
    assert batch is not None
    return batch


def _with(state: State, who: int, owner: Owner) -> State:
    first, second = state.owners
    return State((owner, second) if who == 0 else (first, owner), *state[1:])


def _set(state: State, who: int, **changes: object) -> State:
    return _with(state, who, state.owners[who]._replace(**changes))  # type: ignore[arg-type]
