"""A topic that was deleted, created again, and cut from behind: was anything of it skipped?"""

from __future__ import annotations

from collections import Counter, defaultdict

from tests.chaos.checker.evidence import Evidence

Log = tuple[str, int]  # life, as the keys name it; partition


def check_lives(evidence: Evidence) -> list[str]:
    """Of each life: what was applied was produced in it, once, and begins at its beginning.

    What was applied has no holes, but for messages that retention took before they were read; and
    those were told of, to the last one. Of the last life nothing may be missing.
    """
    produced, lows = _history(evidence)
    applied: dict[Log, Counter[int]] = defaultdict(Counter)
    for row in evidence.side_effects:
        applied[row["key"], row["partition"]][row["offset"]] += 1
    found = []
    missing: Counter[int] = Counter()
    last = max((int(life.split("-")[1]) for life, _ in produced), default=0)
    for log in produced.keys() | applied.keys():
        where = f"side [{log[1]}], {log[0]}"
        found += [f"{where} @ {o} was applied {n} times" for o, n in applied[log].items() if n > 1]
        found += [
            f"{where} @ {o} was applied, and not produced"
            for o in sorted(applied[log].keys() - produced[log])
        ]
        end = max(applied[log], default=-1)
        if log[0] == f"life-{last}":
            end = max(produced[log])
        holes = sorted(o for o in produced[log] - applied[log].keys() if o <= end)
        found += [f"{where} @ {o} was skipped" for o in holes if o >= lows[log]]
        missing[log[1]] += sum(o < lows[log] for o in holes)
    for partition, count in missing.items():
        told = sum(
            line["missing"]
            for line in evidence.said
            if line["said"] == "data lost" and line["partition"] == partition
        )
        if told != count:
            found.append(f"side [{partition}]: {count} messages are missing, and {told} were told")
    return found


def _history(evidence: Evidence) -> tuple[dict[Log, set[int]], dict[Log, int]]:
    """Return what was produced in each life, and the first offset that was left of it."""
    produced: dict[Log, set[int]] = defaultdict(set)
    lows: dict[Log, int] = defaultdict(int)
    for line in evidence.side_feed:
        log = f"life-{line['life']}", line["partition"]
        if line["said"] == "produced":
            produced[log].add(line["offset"])
        else:
            lows[log] = max(lows[log], line["low"])
    return produced, lows
