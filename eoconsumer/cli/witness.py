"""What `verify` compares: the topic, and what the database says of it, partition by partition."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from eoconsumer.cli.offsets.group import Group, Standing
from eoconsumer.cli.subject import Subject
from eoconsumer.core.capabilities import Capability, capabilities_of, insist
from eoconsumer.core.identity import changed
from eoconsumer.core.letters import Letter, Selection
from eoconsumer.core.verify import (
    Comparison,
    Mark,
    Marker,
    Verdict,
    from_log,
    passed_for_good,
)
from eoconsumer.errors import ConfigurationError
from eoconsumer.kafka.reading import offsets
from eoconsumer.message import TopicPartition

#: How many dead letters are read at once.
LETTERS = 200


@runtime_checkable
class Marked(Protocol):
    """A store that can read what a user's own rows say of their messages."""

    def marks(
        self, marker: Marker, partition: TopicPartition, first: int, upto: int
    ) -> Iterator[Mark]:
        """Read the marks in the order of their offsets."""


class Bounds(NamedTuple):
    """What the user wants to be compared; None: from where the log starts, to the position."""

    first: int | None
    upto: int | None


class Witness:
    """Reads the topic, and whatever tells what was applied."""

    def __init__(self, subject: Subject, marker: Marker | None) -> None:
        """Believe the rows that ``marker`` describes, or the applied-log.

        Raises ``ConfigurationError`` where the store cannot read marks, or keeps no log.
        """
        store = subject.store
        if marker is not None and not isinstance(store, Marked):
            raise ConfigurationError(
                "This store cannot read the marks of your rows; nothing was compared. Let the "
                "consumer keep the applied-log (applied_log=True), and leave --collection out."
            )
        if marker is None:
            instead = "Compare your own rows with --collection"
            insist(store, Capability.APPLIED_LOG, "a comparison without --collection", instead)
        self._subject = subject
        self._marker = marker
        self._capabilities = capabilities_of(store)

    def compare(self, verdict: Verdict, topics: Sequence[str] | None, bounds: Bounds) -> int:
        """Add to ``verdict`` what became of the messages; return how many partitions there were.

        Raises ``ConfigurationError`` where the group has no positions, or those of another log,
        and where no offset can lie within ``bounds``.
        """
        group = Group(self._subject)
        standings = group.standings(group.chosen(topics) if topics else None)
        there = [each for each in standings if each.end is not None]
        if all(each.position is None for each in there):
            raise ConfigurationError(
                f"The group {group.name} has no position here, so there is nothing to compare. "
                "Check --group, --topic and --store."
            )
        _possible(bounds, max(each.end or 0 for each in there))
        for each in there:
            _same_log(each, group.name)
        compacted = group.kafka.compacted({each.partition.topic for each in there})
        for each in there:
            is_compacted = each.partition.topic in compacted
            position = each.position or 0
            comparison = Comparison(verdict, each.partition, position, compacted=is_compacted)
            self._run(comparison, each, bounds)
        return len(there)

    def _run(self, comparison: Comparison, standing: Standing, bounds: Bounds) -> None:
        key, position = standing.partition, comparison.position
        low, end = standing.low or 0, standing.end or 0
        first = max(low, bounds.first or 0)
        upto = min(end, position if bounds.upto is None else bounds.upto)
        if first < upto:
            comparison.run(
                offsets(self._subject.kafka, key, first, upto),
                self._marks(key, first, upto),
                self._buried(key, first, upto),
            )
        if bounds.upto is None:  # it is not worth reading what nobody has read
            comparison.verdict.counts["not_yet"] += max(0, end - max(first, min(position, end)))

    def _marks(self, key: TopicPartition, first: int, upto: int) -> Iterator[Mark]:
        group, store = self._subject.group, self._subject.store
        keeps_log = Capability.APPLIED_LOG in self._capabilities
        log = from_log(store.applied(group, key, first, upto)) if keeps_log else iter(())
        noted = (mark for mark in log if first <= mark.offset < upto)
        if self._marker is None:
            return noted
        assert isinstance(store, Marked)
        theirs = store.marks(self._marker, key, first, upto)
        return heapq.merge(theirs, passed_for_good(noted), key=lambda mark: mark.offset)

    def _buried(self, key: TopicPartition, first: int, upto: int) -> Iterator[int]:
        if Capability.LETTERS not in self._capabilities:
            return
        which = Selection(self._subject.group, *key)
        last: Letter | None = None
        while letters := self._subject.store.letters(which, last, LETTERS):
            for last in letters:
                if last.offset >= upto:
                    return
                if last.offset >= first:
                    yield last.offset


def _possible(bounds: Bounds, end: int) -> None:
    """Raise ``ConfigurationError`` for bounds that leave nothing: that would look right."""
    first, upto = bounds
    if first is not None and upto is not None and first >= upto:
        raise ConfigurationError(
            f"Nothing lies from --from {first} up to --to {upto}; nothing was compared. --to is "
            "the offset behind the last one."
        )
    if first is not None and first > end:
        raise ConfigurationError(
            f"--from {first} lies behind the end of every log ({end}); nothing was compared."
        )


def _same_log(standing: Standing, group: str) -> None:
    """Raise ``ConfigurationError`` where the offsets are those of another topic of this name."""
    row = standing.row
    if row and changed(standing.partition, row.identity, standing.identity, group):
        raise ConfigurationError(
            f"{standing.partition} was deleted and created again since its position was stored, or "
            "these are the brokers of another cluster: the same offset is another message. Nothing "
            "was compared. Check -b and --store."
        )
