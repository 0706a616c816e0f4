"""Does each message have the effects that the mode promises?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.chaos.checker.evidence import AT_LEAST_ONCE, AT_MOST_ONCE, Evidence, Line, Place
from tests.chaos.checker.lives import check_lives

Address = tuple[str, int, int]  # topic, partition, offset


def address(row: Line) -> Address:
    return row["topic"], row["partition"], row["offset"]


def lost(evidence: Evidence) -> list[Address]:
    """Return the visible messages that have neither an effect nor, as poison, a dead letter.

    At-most-once tries nothing again: what fails together is given up together, and a dead letter of
    a good message is no loss without a trace.
    """
    done = {address(row) for row in evidence.effects}
    buried = {address(row) for row in evidence.letters}
    return [
        (*place, message.offset)
        for place, messages in evidence.visible.items()
        for message in messages
        if (*place, message.offset) not in (buried if message.kind == "poison" else done)
        and not (evidence.mode == AT_MOST_ONCE and (*place, message.offset) in buried)
    ]


def doubled(evidence: Evidence) -> list[Address]:
    """Return the messages with more than one effect or dead letter, once for each too many."""
    counts = Counter(address(row) for row in [*evidence.effects, *evidence.letters])
    return [place for place, times in counts.items() for _ in range(times - 1)]


def foreign(evidence: Evidence) -> Iterator[str]:
    """Tell of effects of what nobody was to see, and of dead letters of what was good."""
    kinds = {
        (*place, message.offset): message.kind
        for place, messages in evidence.visible.items()
        for message in messages
    }
    for row in evidence.effects:
        if kinds.get(address(row), "poison") == "poison":
            yield f"{_named(address(row))} has an effect, and is poison or not visible"
    for row in evidence.letters:
        kind = kinds.get(address(row))
        if kind is None or (kind != "poison" and evidence.mode != AT_MOST_ONCE):
            yield f"{_named(address(row))} was buried, and is {kind or 'not visible'}"


def check_effects(evidence: Evidence) -> list[str]:
    """Each visible message: exactly one; at least one; or at most one."""
    found = list(foreign(evidence))
    if evidence.mode != AT_MOST_ONCE:
        found += [f"{_named(place)} is lost" for place in lost(evidence)]
    if evidence.mode != AT_LEAST_ONCE:
        found += [f"{_named(place)} is doubled" for place in doubled(evidence)]
    return found


def check_skipped(evidence: Evidence) -> list[str]:
    """Nothing below a position is lost, the ends were reached, and no life of a topic was cut."""
    found = []
    for place, messages in evidence.visible.items():
        at = evidence.positions.get(place, 0)
        if messages and at <= messages[-1].offset:
            end = messages[-1].offset
            found.append(f"{place[0]} [{place[1]}] stands at {at}, and ends at {end}")
    found += check_lives(evidence)
    if evidence.mode != AT_MOST_ONCE:
        found += [
            f"{_named((topic, partition, offset))} was skipped without a trace"
            for topic, partition, offset in lost(evidence)
            if offset < evidence.positions.get((topic, partition), 0)
        ]
    return found


def _named(place: tuple[str, int, int]) -> str:
    return f"{place[0]} [{place[1]}] @ {place[2]}"


def by_place(rows: list[Line]) -> dict[Place, list[Line]]:
    """Group rows by topic and partition."""
    groups: dict[Place, list[Line]] = {}
    for row in rows:
        groups.setdefault((row["topic"], row["partition"]), []).append(row)
    return groups
