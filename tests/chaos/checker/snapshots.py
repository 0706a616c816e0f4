"""Did effects and positions agree at every look during the run?"""

from __future__ import annotations

from bisect import bisect_left

from tests.chaos.checker.evidence import EXACTLY_ONCE, Evidence, Line, Place


def check_snapshots(evidence: Evidence) -> list[str]:
    """In each snapshot: what is visible below the position is there, and nothing above it.

    A snapshot counts from the position of the one before. So a message that was lost, doubled or
    early shows in the first snapshot that could see it.
    """
    if evidence.mode != EXACTLY_ONCE:
        return []
    offsets = {
        place: [message.offset for message in messages]
        for place, messages in evidence.visible.items()
    }
    found = []
    highest: dict[Place, int] = {}
    for number, snapshot in enumerate(evidence.snapshots):
        for row in snapshot["partitions"]:
            place = row["topic"], row["partition"]
            wrong = _wrong(row, offsets.get(place, []), highest.get(place, 0))
            found += [f"snapshot {number}, {place[0]} [{place[1]}]: {each}" for each in wrong]
            highest[place] = max(highest.get(place, 0), row["next"])
    return found


def _wrong(row: Line, offsets: list[int], highest: int) -> list[str]:
    since, upto = row["since"], row["next"]
    if upto < highest:
        return [f"the position went back from {highest} to {upto}"]
    visible = offsets[bisect_left(offsets, since) : bisect_left(offsets, upto)]
    counted = [row[name] for name in ("effects", "letters") if row[name]]
    count = sum(each["count"] for each in counted)
    last = max((each["last"] for each in counted), default=None)
    found = []
    if count != len(visible):
        found.append(f"{count} rows from {since} to {upto}, where {len(visible)} are visible")
    if last is not None and last >= upto:
        found.append(f"there is a row of {last}, and the position is {upto}")
    if visible and last != visible[-1]:
        found.append(f"the last row is of {last}, the last visible below {upto} is {visible[-1]}")
    return found
