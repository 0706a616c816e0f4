"""Says whether the model allows what was seen of a run of the real core.

Seen is what changes the row, and what is refused: claims, commits, fences. What happens inside of a
process, and in Kafka, is not seen; so after each thing seen the model may be in any of a set of
states. If the set is empty, the code did what the model has no way to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from protocol import Protocol, State, successors

States = frozenset[State]


class Seen(NamedTuple):
    """``what`` is "claims", "fenced" or "lands"; who sent a commit that lands late is not said."""

    what: str
    who: int | None = None
    upto: int | None = None


def _seen(who: int | None, action: str) -> Seen | None:
    """Return what a step of the model shows to others."""
    words = action.replace(",", "").split()
    if action in ("claims", "fenced"):
        return Seen(action, who)
    if "lands" in words or words[0] == "commits":
        return Seen("lands", who, next(int(word) for word in words if word.isdigit()))
    return None


@cache
def _steps(state: State) -> tuple[tuple[Seen | None, State], ...]:
    steps = successors(state, Protocol())
    return tuple((_seen(step.who, step.action), step.state) for step in steps)


@cache
def _silently(states: States) -> States:
    """Return where the model may be without anything seen."""
    reached, todo = set(states), list(states)
    while todo:
        for seen, after in _steps(todo.pop()):
            if seen is None and after not in reached:
                reached.add(after)
                todo.append(after)
    return frozenset(reached)


@cache
def _after(states: States, seen: Seen) -> States:
    return frozenset(
        after
        for state in _silently(states)
        for step, after in _steps(state)
        if step is not None
        and (step == seen or (seen.who is None and step._replace(who=None) == seen))
    )


def refused(history: Iterable[Seen]) -> tuple[Seen, ...]:
    """Return ``history`` up to what the model does not allow; empty if it allows all."""
    states: States = frozenset({State()})
    passed: list[Seen] = []
    for seen in history:
        passed.append(seen)
        states = _after(states, seen)
        if not states:
            return tuple(passed)
    return ()
