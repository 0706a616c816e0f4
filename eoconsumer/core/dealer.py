"""Lanes, decided: a dealer claims and fetches partitions, and lanes handle what is dealt to them.

The sequence for a partition: 1. the dealer claims its row, by which the store fences all rows of
its lanes; 2. each lane claims its own row under that claim, and goes on at its own position, or at
the partition's where that is more; 3. the dealer deals; each lane commits with its own row; 4. now
and then the dealer moves the partition's row up to where all lanes are done. That row is behind at
most, never ahead, so a crash between 3. and 4. costs nothing. It is what everybody else looks at:
lag, mirror, the checks of the log, the command line.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import inf

from eoconsumer.core.board import News
from eoconsumer.core.claiming import Keys
from eoconsumer.core.effects import Claim, Effects, Pause, Report, Resume, Run
from eoconsumer.core.flow import Flow
from eoconsumer.core.identity import Sighting
from eoconsumer.core.lane_effects import Close, Deal, Done, Open
from eoconsumer.core.modes import Mode
from eoconsumer.core.partition import Event, Partition, State
from eoconsumer.core.positions import Claims, Position, Start
from eoconsumer.core.settings import Settings
from eoconsumer.errors import EOConsumerError
from eoconsumer.message import Messages, TopicPartition

Rows = Mapping[TopicPartition, Position]


class Dealer(Flow):
    """What a reader decides whose messages are handled in lanes.

    It stores positions as at-least-once does, behind the work; whatever the mode of the lanes is.
    """

    def __init__(self, settings: Settings) -> None:
        """Begin with nothing assigned."""
        super().__init__(replace(settings, mode=Mode.AT_LEAST_ONCE))
        self._rows: dict[TopicPartition, Position] = {}
        # What is open in the lanes: at which offsets their messages change their leader epoch.
        self._open: dict[TopicPartition, deque[tuple[int, int | None]]] = {}
        self._paused: frozenset[TopicPartition] = frozenset()

    @property
    def held(self) -> frozenset[TopicPartition]:
        """The partitions that are to stay paused."""
        return self._paused

    def work(self, now: float) -> Effects[None]:  # noqa: ARG002 - as in Flow
        """Deal what came, and take note of what is done.

        Nothing of it stays here: one lane that stands still must not let this grow without end.
        """
        fresh: dict[TopicPartition, Messages] = {}
        for key, epochs in self._open.items():
            partition = self.partitions[key]
            if partition.pending:
                fresh[key], partition.pending = partition.pending, Messages()
                for message in fresh[key]:
                    if not epochs or epochs[-1][1] != message.leader_epoch:
                        epochs.append((message.offset, message.leader_epoch))
        dealt = yield Deal(fresh)
        for key in dealt.full - self._paused:
            yield Pause(key)
        for key in self._paused - dealt.full:
            yield Resume(key)
        self._paused = dealt.full
        yield from self._note_levels(dealt.levels)
        yield from self.fence([key for key, level in dealt.levels.items() if level is None])

    def take_over(self, keys: Sequence[TopicPartition]) -> Effects[None]:
        """Claim ``keys``, fetch them, and let the lanes begin."""
        yield from super().take_over(keys)
        opened = {key: self._rows[key] for key in keys if self.partitions[key].live}
        if opened:
            self._open.update((key, deque()) for key in opened)
            yield Open(opened)

    def claim(self, keys: Keys) -> Effects[dict[TopicPartition, Position]]:
        """Return the rows that are ours, and keep them for the lanes."""
        rows = yield from super().claim(keys)
        self._rows.update(rows)
        return rows

    def fence(self, keys: Iterable[TopicPartition]) -> Effects[None]:
        """Let ``keys`` go, also in the lanes."""
        keys = list(keys)
        yield from self._close(keys, lost=True)
        yield from super().fence(keys)

    def doubt(self, partition: Partition, reason: EOConsumerError | None) -> Effects[None]:
        """Claim ``partition`` again; the lanes begin anew under that claim."""
        yield from self._close([partition.key], lost=True)
        yield from super().doubt(partition, reason)

    def revoked(self, keys: Sequence[TopicPartition], *, lost: bool = False) -> Effects[None]:
        """Give ``keys`` up when the lanes are done with what they have in hand."""
        yield from self._close(keys, lost=lost)
        yield from super().revoked(keys, lost=lost)

    def _close(self, keys: Iterable[TopicPartition], *, lost: bool) -> Effects[None]:
        opened = tuple(key for key in keys if key in self._open)
        if opened:
            self._paused = self._paused.difference(opened)
            dealt = yield Close(opened, lost)
            yield from self._note_levels(dealt.levels)
            for key in opened:
                del self._open[key]

    def _note_levels(self, levels: Mapping[TopicPartition, int | None]) -> Effects[None]:
        """Settle what all lanes are done with."""
        news = {}
        for key, level in levels.items():
            partition = self.partitions[key]
            if level is not None and partition.live and level > partition.position:
                self.unstored_messages += level - partition.position  # or less: there are gaps
                partition.settle(level)
                epochs = self._open[key]
                while epochs and epochs[0][0] < level:
                    partition.leader_epoch = epochs.popleft()[1]
                news[key] = level
        if news:
            yield Report("levelled", {"positions": news})

    def _poll(self, now: float) -> tuple[int, float]:
        """Take what there is: what is too much for a lane is paused."""
        unclaimed = (p for p in self.partitions.values() if p.state is State.UNCLAIMED)
        wakes = [p.wake_at - now for p in unclaimed]
        return self.settings.batch_size, max(0.0, min([self.settings.poll_interval, *wakes]))

    def _quarantine_fits(self, rows: Rows) -> None:
        """The lanes know in which mode they are."""

    def _stands_still(self, partition: Partition, seen: Sighting) -> bool:
        return partition.key not in self._paused and super()._stands_still(partition, seen)


class LaneFlow(Flow):
    """What one lane decides: as a reader without lanes, but for where its claims come from."""

    def __init__(self, settings: Settings) -> None:
        """Begin with nothing assigned."""
        super().__init__(replace(settings, mirror=False))
        self._wholes: dict[TopicPartition, Position] = {}

    def told(self, news: News) -> Effects[None]:
        """Act upon what the dealer says of partitions that come, or go."""
        if news.kind == "assigned":
            self.expect(news.rows)
            yield from self.assigned(list(news.rows))
        else:
            yield from self.revoked(list(news.rows), lost=news.kind == "lost")

    def expect(self, rows: Rows) -> None:
        """Note the rows that the dealer has claimed, of partitions that are assigned next."""
        self._wholes.update(rows)

    def claim(self, keys: Keys) -> Effects[dict[TopicPartition, Position]]:
        """Return this lane's rows of ``keys``; the dealer has looked whether they fit the log."""
        starts = {key: _under(self._wholes[key]) for key in keys}
        claims: Claims = yield from self._ask(Claim(keys, starts))
        rows = {k: replace(r, ahead=self._wholes[k].ahead) for k, r in claims.positions.items()}
        self._quarantine_fits(rows)
        for key, row in rows.items():
            yield Done(key, row.epoch, row.next_offset)
        return rows

    def fence(self, keys: Iterable[TopicPartition]) -> Effects[None]:
        """Let ``keys`` go. Not for a while: what was dealt since is lost to this lane.

        The dealer claims the whole partition again, and deals anew; it says so when it does.
        """
        for key in keys:
            self.partitions[key].on(Event.FENCED)
            self.partitions[key].wake_at = inf
            yield Done(key, self._wholes[key].epoch, None)

    def reclaim(self, now: float) -> Effects[None]:  # noqa: ARG002 - as in Ownership
        """Claim nothing without the dealer."""
        yield from ()

    def look_after(self, now: float) -> Effects[None]:  # noqa: ARG002 - as in Doubts
        """Have no doubts: the dealer looks after the partition."""
        yield from ()

    def _settle(self, runs: Sequence[Run], began: float) -> Effects[None]:
        """Note that ``runs`` are done, and let the dealer know."""
        yield from super()._settle(runs, began)
        for run in runs:
            yield Done(run.partition, self.partitions[run.partition].epoch, run.upto)


def _under(whole: Position) -> Start:
    """Return where the row of a lane starts, by the row of the partition."""
    return Start(
        whole.next_offset,
        0,
        identity=whole.identity,
        leader_epoch=whole.leader_epoch,
        under=whole.epoch,
        begun=whole.begun,
    )
