"""The life of a reader: poll, gather a batch, process it in its mode, recover from what happens.

Nothing waits in here with messages in hand: after a failure the batch is rolled back, what was
learned is noted at the partition, and the reader polls again. So a rebalance is never kept waiting,
and a retry takes the path of a fresh batch. Messages stay pending until they settle.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import dropwhile

from eoconsumer.core.applied import Applied
from eoconsumer.core.batching import Batch, Bounds, Pace, gather
from eoconsumer.core.doubts import Doubts
from eoconsumer.core.effects import (
    Abort,
    Advance,
    AfterCommit,
    Begin,
    Bury,
    Chance,
    Commit,
    Effects,
    NoteApplied,
    Now,
    OutOfTime,
    Pause,
    Poll,
    Report,
    Resume,
    Run,
    RunFailed,
    Write,
)
from eoconsumer.core.letters import DeadLetter, Hold
from eoconsumer.core.modes import STEPS, Mode
from eoconsumer.core.partition import Event, Partition, State
from eoconsumer.core.settings import Settings
from eoconsumer.errors import (
    DecodeError,
    EOConsumerError,
    Fenced,
    HandlerFailed,
    QuarantineLifted,
    StoreError,
    TransientStoreError,
    said,
)
from eoconsumer.message import MessageKey, TopicPartition


class Flow(Doubts):
    """Everything that one reader decides."""

    def __init__(self, settings: Settings) -> None:
        """Start with nothing assigned."""
        super().__init__(settings)
        self.pace = Pace(settings.target_commit_time, settings.batch_operations)
        self._message_size = 0  # bytes, of the last batch on average
        self._operations = 0  # that handlers of the last batch returned
        self._trouble: float | None = None
        self._tries = 0

    @property
    def held(self) -> Collection[TopicPartition]:
        """The partitions that are to stay paused."""
        return {key for key, partition in self.partitions.items() if partition.resting}

    def read(self) -> Effects[None]:
        """Work until stop is asked for; then give up what is ours, in order."""
        while True:
            now: float = yield Now()
            yield from self._wake(now)
            poll = Poll(*self._poll(now))
            polled = yield poll
            if polled is None:
                break
            self.drained = self.drained or sum(map(len, polled.values())) < poll.messages
            for key, messages in polled.items():
                if key in self.partitions and messages:
                    self.partitions[key].add(messages)
            now = yield Now()
            try:
                yield from self.look_after(now)
                yield from self.reclaim(now)
                if self.advance_is_due(now):
                    yield from self.advance(self.unstored())
                yield from self.work(now)
            except Fenced as fenced:
                yield from self.fence(fenced.partitions)
            except QuarantineLifted as lifted:
                yield from self._lifted(lifted.keys)
            except TransientStoreError as error:
                yield from self._patience(error)
            else:
                self._trouble, self._tries = None, 0
            yield from self.mirror()
        yield from self.revoked(list(self.partitions))

    def work(self, now: float) -> Effects[None]:
        """Do something with the messages that wait."""
        batch = self._gather(now)
        if batch.runs:
            yield from self._process(batch, now)

    # --- what to do next --------------------------------------------------------------------

    def _wake(self, now: float) -> Effects[None]:
        """Let partitions go on whose rest is over."""
        for partition in list(self.partitions.values()):
            if partition.state is State.RESTING and partition.wake_at <= now:
                partition.on(Event.RESTED)
                yield Resume(partition.key)

    def _poll(self, now: float) -> tuple[int, float]:
        """Return how many messages to take at most, and how many seconds to wait for one."""
        # What rests is paused: it takes no room, so that others go on meanwhile.
        waiting = sum(
            len(p.pending) for p in self.partitions.values() if p.state is not State.RESTING
        )
        ready = any(p.pending and p.state is State.OWNED for p in self.partitions.values())
        wakes = [p.wake_at - now for p in self.partitions.values() if p.state is not State.OWNED]
        seconds = 0.0 if ready else max(0.0, min([self.settings.poll_interval, *wakes]))
        return max(1, self._room() - waiting), seconds

    def _room(self) -> int:
        """Return how many messages may wait here: two batches, of what a slow handler manages.

        Else each poll would bring more than the batch after it takes away, and it is the handler's
        pace and the size of a message that say how much memory that is.
        """
        settings = self.settings
        bulk = settings.batch_bytes // max(1, self._message_size)
        return min(settings.batch_size, 2 * self.pace.limit, 2 * bulk)

    def _gather(self, now: float) -> Batch:
        """Return the next batch; its partitions go to the end of the queue."""
        settings = self.settings
        limit = min(settings.batch_size, self.pace.limit)
        if settings.mode is not Mode.EXACTLY_ONCE:
            limit = min(limit, settings.commit_batch - self.unstored_messages)
        bounds = Bounds(max(1, limit), settings.batch_bytes, settings.max_partitions)
        runs = gather(self.partitions.values(), bounds)
        for run in runs:
            self.partitions[run.partition] = self.partitions.pop(run.partition)
        if runs:
            self._message_size = sum(run.size for run in runs) // sum(map(len, runs))
        return self._batch(runs, now)

    def _batch(self, runs: Sequence[Run], now: float) -> Batch:
        """Make a batch of ``runs``, with the letters, moves and lines that belong to it."""
        fates = [self.partitions[r.partition].fates.get(o) for r in runs for o in sorted(r.dropped)]
        letters = tuple(fate for fate in fates if fate is not None)
        return Batch(tuple(runs), letters, self.moves(runs, now), self._lines(runs))

    def _lines(self, runs: Iterable[Run]) -> tuple[Applied, ...]:
        """Return the lines of the applied-log for ``runs``, if there is such a log."""
        if not self.settings.applied_log:
            return ()
        return tuple(self.partitions[run.partition].line(run) for run in runs)

    # --- one batch --------------------------------------------------------------------------

    def _process(self, batch: Batch, now: float) -> Effects[None]:
        """Take ``batch`` through the steps of its mode, and what is left of it after a failure."""
        while batch.runs:
            try:
                yield from self._steps(batch, now)
            except RunFailed as failure:
                batch = self._batch((yield from self._failed(batch, failure, now)), now)
            except OutOfTime as late:
                if batch.size > 1:
                    self.pace.too_slow(batch.size)
                    return
                failed = self._failed(batch, too_long(batch, late), now)
                batch = self._batch((yield from failed), now)
            else:
                done: float = yield Now()
                self.pace.measured(batch.size, done - now, self._operations)
                return

    def _steps(self, batch: Batch, began: float) -> Effects[None]:
        """Do the steps one by one; a transaction that cannot be finished is rolled back."""
        transaction, self._operations = False, 0
        try:
            for step in STEPS[self.settings.mode](batch):
                if isinstance(step, Commit):
                    yield from self.commit(batch)
                    transaction = False
                    yield from self._settle(batch.runs, began)
                    yield from self._tell(batch.letters)
                elif isinstance(step, Advance) and not transaction:
                    yield from self.advance(step.moves)
                elif isinstance(step, NoteApplied) and not transaction:
                    yield from self._note(step.lines)
                elif isinstance(step, Write):
                    self._operations += (yield step) or 0
                else:
                    transaction = transaction or isinstance(step, Begin)
                    yield step
                    if isinstance(step, AfterCommit) and self._settles_at_once:
                        yield from self._settle(step.runs, began)
                    elif isinstance(step, Bury) and not transaction:
                        self._buried(step.letters)
                        yield from self._tell(step.letters)
        except EOConsumerError:
            if transaction:
                yield Abort()
            raise

    @property
    def _settles_at_once(self) -> bool:
        """Whether a run is done once it was handled: there is no transaction to wait for."""
        return self.settings.mode is not Mode.EXACTLY_ONCE

    def _settle(self, runs: Sequence[Run], began: float) -> Effects[None]:
        """Note that ``runs`` are done; in a transaction their positions are stored with them."""
        for run in runs:
            partition = self.partitions[run.partition]
            partition.settle(run.upto)
            if self.settings.mode is Mode.EXACTLY_ONCE:
                partition.stored = run.upto
            elif self.settings.mode is Mode.AT_LEAST_ONCE:
                self.unstored_messages += len(run.messages)
        now: float = yield Now()
        yield Report("committed", {"runs": runs, "seconds": now - began})

    def _note(self, lines: tuple[Applied, ...]) -> Effects[None]:
        """Write ``lines`` on their own, and again: the handler must not run again for them."""
        if lines:
            yield from self.insist(
                NoteApplied(lines), "write the applied-log, and what it is about may come again"
            )

    def _buried(self, letters: Iterable[DeadLetter]) -> None:
        """Note that ``letters`` are written for good: a batch done again must not repeat them."""
        for letter in letters:
            key = TopicPartition(letter.message.topic, letter.message.partition)
            self.partitions[key].fates[letter.message.offset] = None

    def _tell(self, letters: Sequence[DeadLetter]) -> Effects[None]:
        """Tell of dead letters that are stored: before, they might have been decided in vain."""
        for letter in letters:
            if letter.hold is not Hold.WAITS:
                about = {"message": letter.message, "error": letter.error}
                yield Report("buried", {**about, "attempts": letter.attempts})
        messages = [letter.message for letter in letters if letter.hold is Hold.WAITS]
        if messages:
            yield Report("parked", {"messages": messages})

    # --- recovery ---------------------------------------------------------------------------

    def _failed(self, batch: Batch, failure: RunFailed, now: float) -> Effects[list[Run]]:
        """Note what ``failure`` tells; return what can be done of ``batch`` all the same."""
        if failure.partition is None:  # only writes that were sent for all runs at once
            for run in batch.runs:
                self.partitions[run.partition].suspects_one_of(run)
            return []
        run = next(r for r in batch.runs if r.partition == failure.partition)
        cause = failure.__cause__ or failure
        settled = self._settles_at_once and failure.before == "handled"
        if settled and failure.offset is not None:
            handled = run.below(failure.offset)
            if handled.messages:
                yield from self._note(self._lines((handled,)))
                yield AfterCommit((handled,))
                yield from self._settle((handled,), now)
            run = run.since(failure.offset)
        if self.settings.mode is Mode.AT_MOST_ONCE:
            later = list(dropwhile(lambda r: r.partition != run.partition, batch.runs))[1:]
            return [(yield from self._give_up(run, failure, cause)), *later]
        others = [r for r in batch.runs if r.partition != run.partition]
        if self.settings.mode is Mode.AT_LEAST_ONCE:
            others = []  # those before this run are settled, those behind it come again
        if isinstance(cause, TransientStoreError):
            raise cause
        partition = self.partitions[run.partition]
        if not partition.blame(failure.offset, run):
            return others  # the run is halved until the message stands alone
        offset, tries = partition.suspect, partition.tries
        final = tries >= self.settings.retry.attempts or isinstance(cause, DecodeError)
        if final and self.settings.on_poison != "stop":
            yield from self._decide(partition, run, [offset], cause)
            return others  # the message goes with what stands behind it, in the next batch
        if final and run.live[0].offset == offset:
            raise stopped(self.settings.mode, run.partition, offset, tries, cause) from cause
        yield from self._rest(partition, cause)
        return [*others, *filter(len, [run.below(offset)])]

    def _give_up(self, run: Run, failure: RunFailed, cause: BaseException) -> Effects[Run]:
        """At most once: what failed may have happened, so it is never tried again."""
        offsets = [m.offset for m in run.live]
        if failure.offset is not None and failure.before != "perhaps":
            offsets = [failure.offset]
        transient = isinstance(cause, StoreError)
        if self.settings.on_poison == "stop" and not transient:
            raise stopped(self.settings.mode, run.partition, offsets[0], 1, cause) from cause
        yield from self._decide(self.partitions[run.partition], run, offsets, cause)
        left = run if failure.before == "untouched" else run.since(offsets[0])
        return left.dropping(offsets)

    def _decide(
        self, partition: Partition, run: Run, offsets: Sequence[int], cause: BaseException
    ) -> Effects[None]:
        """Let the messages at ``offsets`` pass the handler by, with a dead letter if so set."""
        bury = self.settings.on_poison in ("bury", "quarantine")
        tries = max(1, partition.tries)
        for message in [m for m in run.messages if m.offset in offsets]:
            alone = self.settings.on_poison == "bury" or message.raw_key is None
            hold = Hold.NONE if alone else Hold.BEGINS
            fate = DeadLetter(message, cause, tries, hold) if bury else None
            partition.decide(message.offset, fate)
            if not bury:
                details = {"message": message, "error": cause, "attempts": tries}
                yield Report("skipped", details)

    def _rest(self, partition: Partition, cause: BaseException) -> Effects[None]:
        """Pause the partition of a message that failed, longer with each try."""
        now: float = yield Now()
        chance: float = yield Chance()
        delay = self.settings.retry.delay(partition.tries, chance)
        partition.wake_at = now + delay
        partition.on(Event.FAILED)
        yield Pause(partition.key)
        details = {"partition": partition.key, "offset": partition.suspect, "error": cause}
        yield Report("retry", {**details, "attempt": partition.tries, "delay": delay})

    def _lifted(self, keys: Sequence[MessageKey]) -> Effects[None]:
        """Handle again what was to wait: a redrive has applied all that stood before it.

        The batch was rolled back, and comes again. A message that waits in the store is written in
        one transaction with the row of its key's quarantine, and so is the end of the quarantine:
        of a reader that parks message 51 while a redrive applies the 50 before it and finds nothing
        else, one meets a write conflict and looks again. Then either the redrive finds 51 too, or
        the reader finds no quarantine, which is how it comes here.
        """
        for partition in self.partitions.values():
            partition.lifted(keys)
        for place in sorted({key.partition for key in keys}):
            yield Report("lifted", {"partition": place})

    def _patience(self, error: TransientStoreError) -> Effects[None]:
        """Wait a little for the database, longer each time, until ``store_timeout`` is over."""
        now: float = yield Now()
        self._trouble = now if self._trouble is None else self._trouble
        self._tries += 1
        self.pace.refused()
        if now - self._trouble >= self.settings.store_timeout:
            raise StoreError(
                f"The database asked for another try for {now - self._trouble:.0f} s; the last "
                f"batch was rolled back and no offset was committed. Last answer: {error}"
            ) from error
        yield Report("store_retry", {"error": error, "tries": self._tries})
        yield from self.back_off(self._tries)


def too_long(batch: Batch, late: OutOfTime) -> RunFailed:
    """Return the failure of a single message whose handler outlived the transaction."""
    message = batch.runs[0].messages[0]
    failure = RunFailed(batch.runs[0].partition, message.offset)
    failure.__cause__ = HandlerFailed(
        f"The handler took {late.seconds:.1f} s longer for {message!r} than a transaction may "
        "take; it was rolled back. Make the handler faster, or raise "
        "transactionLifetimeLimitSeconds of the database."
    )
    return failure


def stopped(
    mode: Mode, key: TopicPartition, offset: int, tries: int, cause: BaseException
) -> EOConsumerError:
    """Return what ends the consumer at a message that failed for good."""
    advice = 'Mend {}, or set on_poison="skip" or "bury".'
    if isinstance(cause, DecodeError):
        failed, advice = said(cause), advice.format("the decoder or the producer")
        return DecodeError(f"{failed} {_AT_STOP[mode]} {advice}", offset=offset)
    return HandlerFailed(
        f"The handler failed for {key}@{offset} ({tries} tries): {type(cause).__name__}: "
        f"{said(cause)}. {_AT_STOP[mode]} {advice.format('the handler or the message')}"
    )


_AT_STOP = {
    Mode.EXACTLY_ONCE: "Its writes were rolled back, and its offset was not committed.",
    Mode.AT_LEAST_ONCE: "What it wrote before it failed stays; its offset was not committed.",
    Mode.AT_MOST_ONCE: "What it wrote before it failed stays; its offset, and those of the rest of "
    "its batch, were stored before: these messages do not come again.",
}
