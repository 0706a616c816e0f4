"""A reader whose messages are handled in lanes: one thread fetches, and each lane has its own.

A lane is a reader, too: with a session and a flow of its own, and a source that is a board where
the dealer leaves messages and news. The two sides meet at the board, under one lock; neither waits
for the other but at a revoke, when the dealer waits until the lanes have let go.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from eoconsumer.core import effects as fx
from eoconsumer.core import lane_effects as lx
from eoconsumer.core.board import Board
from eoconsumer.core.dealer import Dealer, LaneFlow
from eoconsumer.core.identity import Found, Sighting
from eoconsumer.core.positions import Start
from eoconsumer.errors import PositionError
from eoconsumer.message import Messages, RawMessage, TopicPartition
from eoconsumer.protocols import Source, StoreSession
from eoconsumer.runner.flag import Flag
from eoconsumer.runner.reader import Reader
from eoconsumer.runner.user import User
from eoconsumer.runner.watch import Watch

log = logging.getLogger("eoconsumer.reader")
Callback = Callable[[list[TopicPartition]], None]


class Lanes:
    """The lanes of one reader: their board, their threads, and what ended one of them."""

    def __init__(self, board: Board, name: str) -> None:
        """Deal by ``board``; threads are called ``name`` and the number of their lane."""
        self.board = board
        self.changed = threading.Condition()  # guards the board
        self.over = Flag()
        self._name = name
        self._readers: dict[int, LaneReader] = {}
        self._threads: list[threading.Thread] = []
        self.failure: BaseException | None = None

    def add(self, number: int, reader: LaneReader) -> None:
        """Add a lane."""
        self._readers[number] = reader

    def start(self) -> None:
        """Start the threads."""
        for number, reader in self._readers.items():
            thread = threading.Thread(
                target=self._run, args=(number, reader), name=f"{self._name}-lane-{number}"
            )
            thread.start()
            self._threads.append(thread)

    def end(self) -> None:
        """Let every lane finish what it has in hand, and wait for that."""
        self.over.set()
        for thread in self._threads:
            thread.join()

    def recall(self, keys: Sequence[TopicPartition], *, lost: bool, seconds: float) -> None:
        """Let the lanes give up ``keys``; wait for that at most ``seconds``, if not ``lost``."""
        with self.changed:
            self.board.recall(keys, lost=lost)
            self.changed.notify_all()
            if lost or not self.changed.wait_for(lambda: self.board.all_have_read, seconds):
                for reader in self._readers.values():
                    reader.lose(keys)

    def _run(self, number: int, reader: LaneReader) -> None:
        try:
            reader.run()
        except BaseException as error:
            log.debug("lane %s has ended", number, exc_info=True)
            self.failure = self.failure or error
        finally:
            with self.changed:
                self.board.leave(number)
                self.changed.notify_all()


class DealerReader(Reader):
    """The reader that claims, fetches and deals."""

    def __init__(
        self,
        flow: Dealer,
        source: Source,
        store: StoreSession[Any],
        user: User,
        watch: Watch,
        stopping: Flag,
        lanes: Lanes,
    ) -> None:
        """Deal to ``lanes``, which live as long as this."""
        super().__init__(flow, source, store, user, watch, stopping, None)
        self._lanes = lanes
        self._seconds_to_poll = source.max_poll_seconds
        self._carry_out |= {lx.Open: self._open, lx.Deal: self._deal, lx.Close: self._close}

    def run(self) -> None:
        """Read until stop is asked for, or a lane fails; raises what could not be recovered."""
        try:
            self._lanes.start()  # those that have begun end, where another cannot
            super().run()
        finally:
            self._lanes.end()
            if self._lanes.failure is not None:  # perhaps with what it had in hand at the end
                raise self._lanes.failure

    def _poll(self, effect: fx.Poll) -> dict[TopicPartition, Messages[Any]] | None:
        polled = self._fetching.poll(effect)
        if polled is None:  # stop: each lane finishes its batch, and no more
            self._lanes.over.set()
            return None
        # A lane decodes what it is dealt.
        return {key: Messages(some, [None] * len(some)) for key, some in polled.items()}

    def _open(self, effect: lx.Open) -> None:
        with self._lanes.changed:
            self._lanes.board.open(effect.rows)
            self._lanes.changed.notify_all()

    def _deal(self, effect: lx.Deal) -> lx.Dealt:
        lanes = self._lanes
        if lanes.failure is not None:
            raise lanes.failure
        with lanes.changed:
            lanes.board.deal(effect.messages)
            if effect.messages:
                lanes.changed.notify_all()
            return lanes.board.standing()

    def _close(self, effect: lx.Close) -> lx.Dealt:
        lanes = self._lanes
        lanes.recall(effect.partitions, lost=effect.lost, seconds=self._seconds_to_poll)
        with lanes.changed:
            dealt = lanes.board.standing()
            lanes.board.forget(effect.partitions)
        return dealt

    def _report(self, effect: fx.Report) -> None:
        self.moved = self.moved or effect.name == "levelled"
        super()._report(effect)


class LaneReader(Reader):
    """One lane."""

    def __init__(
        self,
        flow: LaneFlow,
        source: LaneSource,
        store: StoreSession[Any],
        user: User,
        watch: Watch,
        stopping: Flag,
        transaction_seconds: float | None,
    ) -> None:
        """Take what a lane owns."""
        super().__init__(flow, source, store, user, watch, stopping, transaction_seconds)
        source.expect = flow.expect
        self._board = source
        self._carry_out[lx.Done] = self._done

    def lose(self, keys: Iterable[TopicPartition]) -> None:
        """Refuse to store positions of ``keys`` from now on: they belong to another consumer."""
        self._fetching.lost_in_flight.update(keys)

    def _done(self, effect: lx.Done) -> None:
        self._board.done(effect)

    def _assigned(self, effect: fx.Assigned) -> None:
        """The dealer tells the user of partitions that come, and of those that go."""

    def _revoked(self, effect: fx.Revoked) -> None:
        self._work.recording.forget(effect.partitions)

    def _report(self, effect: fx.Report) -> None:
        if effect.name != "claimed":  # the dealer has told of the partition
            super()._report(effect)


class LaneSource:
    """What a lane takes for Kafka: its desk on the board."""

    max_poll_seconds = math.inf  # it is in no group, and loses nothing by its silence

    def __init__(self, lanes: Lanes, number: int) -> None:
        """Be the source of lane ``number``."""
        self._lanes = lanes
        self._number = number
        self._callbacks: dict[str, Callback] = {}
        self.expect: Callable[[Mapping[TopicPartition, Any]], None] = lambda _: None
        self.commit_failed: Callable[[list[TopicPartition]], None] = lambda _: None
        self.position_failed: Callable[[TopicPartition, PositionError], None] = lambda *_: None

    def subscribe(
        self,
        topics: Sequence[str],  # noqa: ARG002 - the contract of a source
        assigned: Callback,
        revoked: Callback,
        lost: Callback,
    ) -> None:
        """Keep the callbacks."""
        self._callbacks = {"assigned": assigned, "revoked": revoked, "lost": lost}

    def poll(self, messages: int, seconds: float) -> Sequence[RawMessage]:
        """Act upon one piece of news, or else return messages that were dealt."""
        board, changed = self._lanes.board, self._lanes.changed
        desk = board.desk(self._number)
        with changed:
            if not desk.news and not desk.inbox:
                changed.wait(seconds)
            news = board.news(self._number)
            if news is None:
                taken = board.take(self._number, messages)
                return Messages.of([message for _, message in taken]).raw
        if news.kind == "assigned":
            self.expect(news.rows)
        self._callbacks[news.kind](list(news.rows))
        with changed:
            board.has_read(self._number)
            changed.notify_all()
        return []

    def done(self, effect: lx.Done) -> None:
        """Tell the dealer how far this lane is."""
        with self._lanes.changed:
            board = self._lanes.board
            board.done(self._number, effect.partition, effect.epoch, effect.upto)

    # --- what a lane leaves to the dealer ------------------------------------------------------

    def assign(
        self, positions: Mapping[TopicPartition, int], others: Mapping[TopicPartition, int]
    ) -> None:
        """The dealer fetches."""

    def assignment(self) -> list[TopicPartition]:
        """Nothing is assigned to a lane."""
        return []

    def pause(self, keys: Iterable[TopicPartition]) -> None:
        """What rests waits here, and takes room on the board."""

    def resume(self, keys: Iterable[TopicPartition]) -> None:
        """Nothing was paused."""

    def resolve(
        self,
        policies: Mapping[TopicPartition, str | int],  # noqa: ARG002
    ) -> dict[TopicPartition, Start]:
        """A lane starts where its partition does."""
        return {}

    def inspect(self, keys: Sequence[TopicPartition]) -> dict[TopicPartition, Sighting]:  # noqa: ARG002
        """The dealer asks Kafka."""
        return {}

    glance = inspect

    def look_up(
        self,
        offsets: Mapping[TopicPartition, int],  # noqa: ARG002
    ) -> dict[TopicPartition, Found | None]:
        """The dealer asks Kafka."""
        return {}

    def commit(self, positions: Mapping[TopicPartition, int], *, wait: bool) -> None:
        """The dealer mirrors."""

    def close(self) -> None:
        """There is nothing to close."""
