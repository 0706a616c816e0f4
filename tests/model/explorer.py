"""Visits every state that the protocol can reach, breadth first, and keeps the way to each."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from promises import HOLDS, NOT_STUCK, is_the_end
from protocol import Protocol, State, Step, successors

#: How each state was reached first: from which state, and by which step.
Ways = dict[State, tuple[State, Step] | None]


@dataclass(frozen=True)
class Result:
    """How much was seen; and the first promise that broke, with a shortest way to that."""

    states: int  #: of each state and its mirror image, with the owners exchanged, one
    steps: int
    broken: str = ""
    trace: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Say it in lines."""
        seen = f"{self.states:,} states, {self.steps:,} steps"
        if not self.broken:
            return f"{seen}: every promise holds"
        return "\n    ".join([f'{seen}, then broken: "{self.broken}"', *self.trace])


def explore(protocol: Protocol, promises: Iterable[str]) -> Result:
    """Visit states until one of ``promises`` is broken, or all states have been seen."""
    promises = set(promises)
    start = State()
    ways: Ways = {start: None}
    back: dict[State, list[State]] = defaultdict(list)
    todo, steps = deque([start]), 0
    while todo:
        state = todo.popleft()
        for promise, holds in HOLDS.items():
            if promise in promises and not holds(state):
                return Result(len(ways), steps, promise, _trace(state, ways))
        for step in successors(state, protocol):
            steps += 1
            after = step.state
            if after not in ways:
                mirrored = _mirrored(after)
                if mirrored in ways:
                    after = mirrored
                else:
                    ways[after] = (state, step)
                    todo.append(after)
            if not step.fault:
                back[after].append(state)
    stuck = _stuck(ways, back) if NOT_STUCK in promises else None
    if stuck is not None:
        return Result(len(ways), steps, NOT_STUCK, _trace(stuck, ways))
    return Result(len(ways), steps)


def _mirrored(state: State) -> State:
    """Exchange the two owners: nothing tells one from the other."""
    member = None if state.member is None else 1 - state.member
    return state._replace(owners=state.owners[::-1], member=member)


def _stuck(ways: Ways, back: Mapping[State, list[State]]) -> State | None:
    """Return the first state from which, without a further fault, no way leads to the end."""
    todo = [state for state in ways if is_the_end(state)]
    hopeful = set(todo)
    while todo:
        for before in back.get(todo.pop(), ()):
            if before not in hopeful:
                hopeful.add(before)
                todo.append(before)
    return next((state for state in ways if state not in hopeful), None)


def _trace(state: State, ways: Ways) -> tuple[str, ...]:
    lines: list[str] = []
    while (way := ways[state]) is not None:
        before, step = way
        who = "" if step.who is None else f"{'AB'[step.who]}: "
        shown = f"position {state.position}, effects {list(state.effects)}"
        lines.append(f"{who}{step.action}{' (fault)' if step.fault else ''}   -> {shown}")
        state = before
    return tuple(reversed(lines))
