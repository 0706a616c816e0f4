"""Finds the last message before a position, where all that can be asked is "the first one from"."""

from __future__ import annotations

from dataclasses import dataclass

from eoconsumer.core.identity import Found

#: How many offsets before a position may be gaps (compaction, markers of transactions).
FAR = 1024


@dataclass(slots=True)
class LastBefore:
    """The search for the last message before ``position`` in a log that begins at ``low``.

    Back by steps that double, until there is a message before the position; then by halves between
    it and the gap. The usual case, no gap, is one question.
    """

    position: int
    low: int
    found: Found | None = None
    _gap: int = -1  # there is no message from here to the position
    _back: int = 1

    def __post_init__(self) -> None:
        """Know of no gap yet."""
        self._gap = self.position

    @property
    def question(self) -> int | None:
        """From which offset on the first message is to be read; None: nothing is left to ask."""
        if self.found is not None:
            middle = (self.found.offset + self._gap) // 2
            return middle if middle > self.found.offset else None
        if self._gap <= self.low or self._back > FAR:
            return None
        return max(self.low, self.position - self._back)

    @property
    def over(self) -> bool:
        """Whether ``found`` is what there is to find."""
        return self.question is None

    def learn(self, answer: Found | None) -> None:
        """Take the answer to the question; None: the log ends before one comes."""
        asked = self.question
        assert asked is not None, "nothing was asked"
        if answer is not None and asked <= answer.offset < self.position:
            self.found = answer
        else:
            self._gap = asked
            self._back *= 2
