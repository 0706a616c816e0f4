"""What is explored: each mode, and exactly-once with parts taken out.

Of each part it is known what it is there for: some break a promise when they are gone; others are
caught by the compare of the position, and break one only together with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from explorer import Result, explore
from promises import (
    AT_LEAST_ONCE,
    AT_MOST_ONCE,
    CLAIMER,
    EXACTLY_ONCE,
    NOT_SKIPPED,
    NOT_STUCK,
    ONCE,
    ORDER,
)
from protocol import Protocol

AFTER, BEFORE = Protocol(offset="after"), Protocol(offset="before")


@dataclass(frozen=True)
class Case:
    """A protocol, the promises it is held to, and the one that it breaks."""

    title: str
    protocol: Protocol
    promises: frozenset[str] = EXACTLY_ONCE
    breaks: str = ""


CASES = (
    Case("exactly once", Protocol()),
    Case("at least once", AFTER, AT_LEAST_ONCE),
    Case("at least once doubles", AFTER, frozenset({ONCE}), ONCE),
    Case("at most once", BEFORE, AT_MOST_ONCE),
    Case("at most once loses", BEFORE, frozenset({NOT_SKIPPED}), NOT_SKIPPED),
    Case("at most once, a zombie finishes its batch late", BEFORE, frozenset({ORDER}), ORDER),
    Case("the position is not compared", Protocol(compares_position=False), breaks=ONCE),
    Case("the epoch is not compared", Protocol(compares_epoch=False), breaks=CLAIMER),
    Case(
        "the epoch is not compared: nothing else breaks",
        Protocol(compares_epoch=False),
        EXACTLY_ONCE - {CLAIMER},
    ),
    Case("a claim reads and does not write", Protocol(claim_writes=False), breaks=CLAIMER),
    Case("no match is an upsert, not a fence", Protocol(upserts=True), breaks=NOT_STUCK),
    Case("the start is not the stored one", Protocol(starts_from_row=False), breaks=NOT_STUCK),
    Case("no snapshot isolation", Protocol(first_committer_wins=False), breaks=CLAIMER),
    Case("done again unasked after a doubt", Protocol(asks_position=False)),
    Case(
        "done again unasked, and no position compared",
        Protocol(asks_position=False, compares_position=False),
        breaks=ONCE,
    ),
    Case("positions read from a secondary", Protocol(reads_primary=False)),
    Case(
        "positions read from a secondary and not compared",
        Protocol(reads_primary=False, compares_position=False),
        breaks=ONCE,
    ),
    Case("a revoke is not heeded", Protocol(drops_at_revoke=False)),
)


def _explored(case: Case) -> Result:
    return explore(case.protocol, case.promises)


def explored(cases: Iterable[Case] = CASES) -> dict[Case, Result]:
    """Explore ``cases`` on two cores."""
    cases = sorted(cases, key=lambda case: bool(case.breaks))  # those that see all states first
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        return dict(zip(cases, pool.map(_explored, cases), strict=True))
