"""Dead letters and quarantines of the in-memory store; whoever uses them holds the store's lock."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import TypeAlias

from eoconsumer.core.letters import DeadLetter, Failure, Hold, Letter, Selection
from eoconsumer.errors import LetterGone, QuarantineLifted
from eoconsumer.message import MessageKey

Held: TypeAlias = tuple[str, MessageKey]  # of which group


class MemoryLetters:
    """All dead letters, and how often the quarantine of each key was written that is in one."""

    def __init__(self) -> None:
        """Start empty."""
        self.letters: dict[str, Letter] = {}
        self.quarantine: dict[Held, int] = {}
        self._numbers = count(1)

    def find(self, which: Selection, after: Letter | None, limit: int) -> list[Letter]:
        """Return the letters that are meant, in their order, from behind ``after`` on."""
        found = sorted((letter for letter in self.letters.values() if letter in which), key=_order)
        return [x for x in found if after is None or _order(x) > _order(after)][:limit]

    def add(self, group: str, letter: DeadLetter) -> None:
        """Keep a copy of ``letter``."""
        id = f"{next(self._numbers):012}"
        self.letters[id] = Letter.of(id, group, letter, datetime.now(UTC))

    def remove(self, letter: Letter) -> None:
        """Remove ``letter``; raises ``LetterGone``."""
        if self.letters.pop(letter.id, None) is None:
            raise LetterGone

    def note_failure(self, letter: Letter, error: BaseException) -> None:
        """Note one more attempt."""
        if letter.id in self.letters:
            found = self.letters[letter.id]
            failed = replace(found, failure=Failure.of(error), attempts=found.attempts + 1)
            self.letters[letter.id] = failed

    def empty(self, held: Held, but: Collection[str]) -> bool:
        """Whether no letter of a key is left ``but`` these."""
        return not any(
            (letter.group, letter.key) == held and letter.id not in but
            for letter in self.letters.values()
        )


class LetterChanges:
    """What one transaction does to dead letters: seen by all when it is applied, or never."""

    def __init__(self, letters: MemoryLetters, group: str) -> None:
        """Change nothing yet."""
        self._all = letters
        self._group = group
        self._buried: list[DeadLetter] = []
        self._removed: list[Letter] = []
        self._writes: dict[Held, Callable[[Held], object]] = {}
        self._seen: dict[Held, int | None] = {}

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Add letters; raises ``QuarantineLifted`` where one waits for a key that is free."""
        holds: dict[MessageKey, set[Hold]] = {}
        for letter in letters:
            if letter.hold is not Hold.NONE and letter.key is not None:
                holds.setdefault(letter.key, set()).add(letter.hold)
        for key in holds:
            self._write((self._group, key), self._put_in)
        free = [
            key
            for key, kinds in holds.items()
            if Hold.BEGINS not in kinds and self._seen[self._group, key] is None
        ]
        if free:
            raise QuarantineLifted(free)
        self._buried.extend(letters)

    def remove(self, letter: Letter) -> None:
        """Take a letter away; raises ``LetterGone``."""
        if letter.id not in self._all.letters:
            raise LetterGone
        self._removed.append(letter)

    def lift(self, key: MessageKey) -> bool:
        """End a quarantine if nothing of its key is left."""
        held = (self._group, key)
        over = self._all.empty(held, [letter.id for letter in self._removed])
        if over:
            self._write(held, lambda held: self._all.quarantine.pop(held, None))
        return over

    @property
    def conflict(self) -> bool:
        """Whether somebody else wrote, and committed, what this is to write."""
        gone = any(letter.id not in self._all.letters for letter in self._removed)
        written = (self._all.quarantine.get(held) != seen for held, seen in self._seen.items())
        return gone or any(written)

    def apply(self) -> None:
        """Make it visible."""
        for gone in self._removed:
            self._all.remove(gone)
        for letter in self._buried:
            self._all.add(self._group, letter)
        for held, write in self._writes.items():
            write(held)

    def _put_in(self, held: Held) -> None:
        self._all.quarantine[held] = self._all.quarantine.get(held, 0) + 1

    def _write(self, held: Held, write: Callable[[Held], object]) -> None:
        self._seen.setdefault(held, self._all.quarantine.get(held))
        self._writes[held] = write


def _order(letter: Letter) -> tuple[str, str, int, int, str]:
    return (letter.group, *letter.partition, letter.offset, letter.id)
