"""Dead letters are applied, or dropped: one by one in order, none before another of its key.

A letter is removed where it is applied. In exactly-once both are one transaction, and the removal
comes first: of two redrives at once one meets a write conflict before its handler has begun, looks
again, and finds the letter gone. So a letter is applied once, whoever dies in between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias, TypeVar

from eoconsumer.core.applied import REDRIVEN, Applied, ranges
from eoconsumer.core.batching import Batch
from eoconsumer.core.effects import (
    Abort,
    AfterCommit,
    Begin,
    Bury,
    Chance,
    Commit,
    Effect,
    Effects,
    FindLetters,
    Handle,
    Lift,
    NoteApplied,
    NoteFailure,
    Now,
    OutOfTime,
    Remove,
    Run,
    RunFailed,
    Sleep,
    View,
    Write,
)
from eoconsumer.core.flow import too_long
from eoconsumer.core.letters import DeadLetter, Letter, Selection
from eoconsumer.core.modes import Mode
from eoconsumer.core.retry import RetryPolicy
from eoconsumer.errors import (
    CommitInDoubt,
    EOConsumerError,
    LetterGone,
    StoreError,
    TransientStoreError,
)
from eoconsumer.message import Message, MessageKey, TopicPartition

T = TypeVar("T")
Place: TypeAlias = tuple[TopicPartition, int]

#: How long one letter is tried while the database asks for another try, in seconds. A redrive that
#: was killed holds its letter until the server ends its transaction, after up to 90 s.
PATIENCE_SECONDS = 120.0
COMMIT_SECONDS = 20.0
PATIENCE = RetryPolicy(attempts=1_000_000, minimum=0.05, maximum=2.0)


@dataclass
class Redriven:
    """What became of dead letters.

    ``done``: applied or dropped. ``gone``: somebody else was quicker. ``failed``: tried again in
    vain, with what the handler raised. ``behind``: not tried, since another letter of their key
    stays before them.
    """

    done: int = 0
    gone: int = 0
    failed: list[tuple[Letter, BaseException]] = field(default_factory=list)
    behind: int = 0

    @property
    def stayed(self) -> int:
        """How many of the letters that were meant are still there."""
        return len(self.failed) + self.behind


def exactly_once(letter: Letter, run: Run) -> list[Effect]:
    """In one transaction: removed, applied, and with the last of a key its quarantine ended."""
    lift = [Lift(letter.key)] if letter.key else []
    applied: list[Effect] = [Handle(run), Write((run,)), *lift]
    return [Begin(), Remove(letter), *applied, Commit(), AfterCommit((run,))]


def at_least_once(letter: Letter, run: Run) -> list[Effect]:
    """Applied, then removed."""
    return [Handle(run), Write((run,)), AfterCommit((run,)), Remove(letter)]


def at_most_once(letter: Letter, run: Run) -> list[Effect]:
    """Removed, then applied."""
    return [Remove(letter), Handle(run), Write((run,)), AfterCommit((run,))]


def dropped(letter: Letter, _: Run) -> list[Effect]:
    """Removed, and with the last of a key its quarantine."""
    return [Begin(), Remove(letter), *([Lift(letter.key)] if letter.key else []), Commit()]


Steps: TypeAlias = Callable[[Letter, Run], list[Effect]]
STEPS: dict[Mode, Steps] = {
    Mode.EXACTLY_ONCE: exactly_once,
    Mode.AT_LEAST_ONCE: at_least_once,
    Mode.AT_MOST_ONCE: at_most_once,
}


class Redrive:
    """One go through the dead letters of a group; ``which`` are meant, at most ``limit``."""

    def __init__(
        self,
        steps: Steps,
        group: str,
        which: Selection,
        limit: int | None = None,
        *,
        applied_log: bool = False,
    ) -> None:
        """Take each letter through ``steps``; ``applied_log``: note there what was applied."""
        self._steps = steps
        self._applied_log = applied_log
        self._group = group
        self._which = which
        self._limit = limit
        self._result = Redriven()
        self._tried: set[str] = set()
        self._behind: set[str] = set()
        self._blocked: set[MessageKey] = set()
        self._failed_at: set[Place] = set()
        self._in_doubt: set[str] = set()
        self._to_lift: set[MessageKey] = set()

    def run(self) -> Effects[Redriven]:
        """Go on until nothing more can be done: letters may come in behind us meanwhile."""
        while (yield from self._pass()):
            pass
        # Two that remove the last two letters of a key at the same moment see each other's, and
        # neither ends the quarantine: so each looks once more when it is through.
        for key in sorted(self._to_lift):
            yield from self._patiently(partial(self._transact, [Begin(), Lift(key), Commit()]))
        self._result.behind = len(self._behind)
        return self._result

    def _pass(self) -> Effects[bool]:
        """Go through the letters once; return whether there may be more to do."""
        before, after = self._result.done, None
        while letters := (yield from self._ask(FindLetters(self._group, after))):
            for letter in letters:
                if self._limit is not None and len(self._tried) >= self._limit:
                    return False
                yield from self._look_at(letter)
            after = letters[-1]
        return self._result.done > before

    def _look_at(self, letter: Letter) -> Effects[None]:
        """Apply ``letter`` if it is meant, and nothing of its key stays before it."""
        key, meant = letter.key, letter in self._which
        if letter.id in self._tried or (letter.partition, letter.offset) in self._failed_at:
            return
        if not meant:
            if self._steps is not dropped:  # what is dropped has no order to keep
                self._block(key)
        elif key in self._blocked:
            self._behind.add(letter.id)
        else:
            self._tried.add(letter.id)
            try:
                done = yield from self._patiently(partial(self._apply, letter))
            except LetterGone:
                done = letter.id in self._in_doubt  # then it was most likely us
                self._result.gone += not done
            self._result.done += done

    def _apply(self, letter: Letter) -> Effects[bool]:
        """Take ``letter`` through its steps; return whether its handler did not fail."""
        message: Message = yield View(letter)
        run = Run(letter.partition, [message], len(message.raw_value or b""))
        steps = self._steps(letter, run)
        if self._applied_log:
            steps.insert(steps.index(Write((run,))) + 1, (yield from _noted(letter)))
        try:
            yield from self._transact(steps, letter)
        except RunFailed as failure:
            yield from self._failed(letter, message, failure.__cause__ or failure)
            return False
        except OutOfTime as late:
            yield from self._failed(letter, message, too_long(Batch((run,)), late).__cause__)
            return False
        return True

    def _failed(
        self, letter: Letter, message: Message, cause: BaseException | None
    ) -> Effects[None]:
        """Let ``letter`` stay, with one try more; an error of the database is another matter."""
        assert cause is not None
        removed = self._steps is at_most_once
        if isinstance(cause, TransientStoreError) and not removed:
            raise cause
        again = DeadLetter(message, cause, letter.attempts + 1)
        yield from self._ask(Bury((again,)) if removed else NoteFailure(letter, cause))
        self._result.failed.append((letter, cause))
        self._failed_at.add((letter.partition, letter.offset))
        self._block(letter.key)

    def _block(self, key: MessageKey | None) -> None:
        """Let no later letter of ``key`` be applied; those without a key have no order."""
        if key is not None:
            self._blocked.add(key)

    # --- transactions and patience ------------------------------------------------------------

    def _transact(self, steps: Sequence[Effect], letter: Letter | None = None) -> Effects[None]:
        """Do the steps one by one; a transaction that cannot be finished is rolled back."""
        transaction = lifted = False
        try:
            for step in steps:
                if isinstance(step, Commit):
                    yield from self._commit(letter)
                    transaction = False
                elif isinstance(step, NoteApplied) and not transaction:
                    yield from self._ask(step)  # its handler must not run again for it
                else:
                    transaction = transaction or isinstance(step, Begin)
                    result = yield step
                    lifted = lifted or (isinstance(step, Lift) and result)
        except EOConsumerError:
            if transaction:
                yield Abort()
            raise
        if letter is not None and letter.key is not None:
            (self._to_lift.discard if lifted else self._to_lift.add)(letter.key)

    def _commit(self, letter: Letter | None) -> Effects[None]:
        """Commit; after a lost answer repeat it. If that does not tell, the letter will."""
        began, tries = (yield Now()), 0
        while True:
            try:
                yield Commit()
                return
            except CommitInDoubt as doubt:
                tries += 1
                if (yield Now()) - began >= COMMIT_SECONDS:
                    self._in_doubt.update([letter.id] if letter else [])
                    raise TransientStoreError("The commit's answer was lost.") from doubt
                yield Sleep(PATIENCE.delay(tries, (yield Chance())))

    def _ask(self, effect: Effect) -> Effects[Any]:
        """Do one effect, with patience."""
        return (yield from self._patiently(partial(_once, effect)))

    def _patiently(self, attempt: Callable[[], Effects[T]]) -> Effects[T]:
        """Make an attempt, again while the database asks for it."""
        began, tries = (yield Now()), 0
        while True:
            try:
                return (yield from attempt())
            except TransientStoreError as error:
                tries += 1
                if (yield Now()) - began >= PATIENCE_SECONDS:
                    raise StoreError(
                        f"The database asked for another try for {PATIENCE_SECONDS:.0f} s; the "
                        "letter at hand was left as it was, those before it are done. Call the "
                        f"command again when the database is well. Last answer: {error}"
                    ) from error
                yield Sleep(PATIENCE.delay(tries, (yield Chance())))


def _noted(letter: Letter) -> Effects[NoteApplied]:
    """Return the line of the applied-log for ``letter``; each try has one of its own."""
    number = int((yield Chance()) * 2**53)
    return NoteApplied((Applied(letter.partition, REDRIVEN, number, ranges([letter.offset])),))


def _once(effect: Effect) -> Effects[Any]:
    return (yield effect)
