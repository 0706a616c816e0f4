"""What must hold, in the words of ``docs/explanation/guarantees.md``, and in which mode."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from protocol import COMMITTED, END, OFFSETS, OWNED, STORED, UNCLAIMED, State

ONCE = "each message has one effect"
ORDER = "the effects are in the order of the offsets"
AGREE = "position and effects agree"
NOT_SKIPPED = "no message is skipped"
CLAIMER = "after a claim returned, only that claimer changes the row"
#: Not of one state but of all: from each, with no further fault, the end can be reached.
NOT_STUCK = "nothing is lost: what is left can still be handled"


def below(position: int) -> set[int]:
    """Return the messages that are done, says the position."""
    return {offset for offset in OFFSETS if offset < position}


def applied(state: State) -> set[int]:
    """Return the messages that have an effect."""
    return {offset for offset, count in zip(OFFSETS, state.effects, strict=True) if count}


def once(state: State) -> bool:
    return max(state.effects) <= 1


def order(state: State) -> bool:
    return not state.disordered


def agree(state: State) -> bool:
    return applied(state) == below(state.position)


def not_skipped(state: State) -> bool:
    """What is stored first is not skipped while its handler is still to run."""
    in_hand: set[int] = set()
    for owner in state.owners:
        if owner.phase in (COMMITTED, STORED) and owner.batch:
            in_hand |= below(owner.batch.upto) - below(owner.batch.start)
    return below(state.position) <= applied(state) | in_hand


def only_the_claimer(state: State) -> bool:
    return not state.trespassed


HOLDS: Mapping[str, Callable[[State], bool]] = {
    ONCE: once,
    ORDER: order,
    AGREE: agree,
    NOT_SKIPPED: not_skipped,
    CLAIMER: only_the_claimer,
}

EXACTLY_ONCE = frozenset({*HOLDS, NOT_STUCK})
AT_LEAST_ONCE = frozenset({NOT_SKIPPED, CLAIMER, NOT_STUCK})
AT_MOST_ONCE = frozenset({ONCE, CLAIMER, NOT_STUCK})


def is_the_end(state: State) -> bool:
    """Whether the last message is done, and nobody has anything in hand."""
    idle = all(owner.phase in (UNCLAIMED, OWNED) for owner in state.owners)
    return state.position == END and idle
