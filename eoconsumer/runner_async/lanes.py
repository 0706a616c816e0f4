"""A reader whose messages are handled in lanes: one task fetches, and each lane has its own.

As for threads (``runner.lanes``), the two sides meet at the board. It is used on the loop only, so
it needs no lock. Lanes wait for nobody but the store and their handlers; the reader waits for them
at a revoke, until they have let go.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import Executor
from typing import Any

from eoconsumer.core import effects as fx
from eoconsumer.core import lane_effects as lx
from eoconsumer.core.board import Board
from eoconsumer.core.dealer import Dealer, LaneFlow
from eoconsumer.message import Message, Messages, TopicPartition
from eoconsumer.protocols import AsyncStoreSession, Source
from eoconsumer.runner.user import User
from eoconsumer.runner.watch import Watch
from eoconsumer.runner_async.reader import AsyncReader, Fetched
from eoconsumer.runner_async.source import AsyncSourceReader
from eoconsumer.runner_async.waiting import LoopFlag, all_done, to_its_end

log = logging.getLogger("eoconsumer.reader")


class AsyncLanes:
    """The lanes of one reader: their board, their tasks, and what ended one of them."""

    def __init__(self, board: Board, name: str) -> None:
        """Deal by ``board``; tasks are called ``name`` and the number of their lane."""
        self.board = board
        self.over = LoopFlag()
        self.name = name
        self.failure: BaseException | None = None
        self._readers: dict[int, AsyncLaneReader] = {}
        self._mail = [LoopFlag() for _ in board.desks]  # there is something on this desk
        self._read = LoopFlag()  # a lane has acted upon news, or has ended

    def add(self, number: int, reader: AsyncLaneReader) -> None:
        """Add a lane."""
        self._readers[number] = reader

    def start(self) -> list[asyncio.Task[None]]:
        """Start the tasks, which never fail."""
        return [
            asyncio.create_task(self._run(number, reader), name=f"{self.name}-lane-{number}")
            for number, reader in self._readers.items()
        ]

    def end(self) -> None:
        """Let every lane finish what it has in hand."""
        self.over.set()
        for mail in self._mail:
            mail.set()

    def tell(self) -> None:
        """Wake those lanes for which there is something."""
        for desk, mail in zip(self.board.desks, self._mail, strict=True):
            if desk.news or desk.inbox:
                mail.set()

    async def wait(self, number: int, seconds: float) -> None:
        """Wait until there is something for a lane, or all is over; at most ``seconds``."""
        desk, mail = self.board.desk(number), self._mail[number - 1]
        mail.clear()
        if not (desk.news or desk.inbox or self.over.is_set()):
            await mail.wait(seconds)

    def has_read(self, number: int) -> None:
        """Note that a lane has acted upon a piece of news."""
        self.board.has_read(number)
        self._read.set()

    async def recall(self, keys: Sequence[TopicPartition], *, lost: bool, seconds: float) -> None:
        """Let the lanes give up ``keys``; wait for that at most ``seconds``, if not ``lost``."""
        self.board.recall(keys, lost=lost)
        self.tell()
        until = time.monotonic() + seconds
        while not lost and not self.board.all_have_read:
            self._read.clear()
            lost = not await self._read.wait(until - time.monotonic())
        if lost:
            for reader in self._readers.values():
                reader.lose(keys)

    async def _run(self, number: int, reader: AsyncLaneReader) -> None:
        try:
            await reader.run()
        except BaseException as error:
            log.debug("lane %s has ended", number, exc_info=True)
            self.failure = self.failure or error
        finally:
            self.board.leave(number)
            self._read.set()


class AsyncDealerReader(AsyncSourceReader):
    """The reader that claims, fetches and deals."""

    def __init__(
        self,
        flow: Dealer,
        source: Source,
        store: AsyncStoreSession[Any],
        user: User,
        watch: Watch,
        stopping: LoopFlag,
        thread: Executor,
        lanes: AsyncLanes,
    ) -> None:
        """Deal to ``lanes``, which live as long as this."""
        super().__init__(flow, source, store, user, watch, stopping, None, thread)
        self._lanes = lanes
        self._seconds_to_poll = source.max_poll_seconds
        self._awaited |= {lx.Open: self._open, lx.Deal: self._deal, lx.Close: self._close}

    async def run(self) -> None:
        """Read until stop is asked for, or a lane fails; raises what could not be recovered.

        Where it is cancelled, so are all lanes, at once: a poll that has to come to its end may
        be waiting for what they have in hand.
        """
        reading = asyncio.create_task(self._read(), name=self._lanes.name)
        cancelled = await all_done([reading, *self._lanes.start()], cancel=True)
        if not reading.cancelled():
            reading.exception()  # seen, and less than what follows
        if cancelled is not None:
            raise cancelled
        if self._lanes.failure is not None:  # perhaps with what it had in hand at the end
            raise self._lanes.failure
        reading.result()

    async def _read(self) -> None:
        try:
            await super().run()
        finally:
            self._lanes.end()

    async def _poll(self, effect: fx.Poll) -> dict[TopicPartition, Messages[Any]] | None:
        polled = await self._fetch(effect)
        if polled is None:  # stop: each lane finishes its batch, and no more
            self._lanes.end()
            return None
        # A lane decodes what it is dealt.
        return {key: Messages(some, [None] * len(some)) for key, some in polled.items()}

    async def _open(self, effect: lx.Open) -> None:
        self._lanes.board.open(effect.rows)
        self._lanes.tell()

    async def _deal(self, effect: lx.Deal) -> lx.Dealt:
        lanes = self._lanes
        if lanes.failure is not None:
            raise lanes.failure
        lanes.board.deal(effect.messages)
        lanes.tell()
        return lanes.board.standing()

    async def _close(self, effect: lx.Close) -> lx.Dealt:
        board = self._lanes.board
        seconds = self._seconds_to_poll
        await self._lanes.recall(effect.partitions, lost=effect.lost, seconds=seconds)
        dealt = board.standing()
        board.forget(effect.partitions)
        return dealt

    async def _report(self, effect: fx.Report) -> None:
        self.moved = self.moved or effect.name == "levelled"
        await super()._report(effect)


class AsyncLaneReader(AsyncReader):
    """One lane: what it takes for Kafka is its desk on the board."""

    flow: LaneFlow

    def __init__(
        self,
        flow: LaneFlow,
        store: AsyncStoreSession[Any],
        user: User,
        watch: Watch,
        transaction_seconds: float | None,
        lanes: AsyncLanes,
        number: int,
    ) -> None:
        """Be lane ``number`` of ``lanes``."""
        super().__init__(flow, store, user, watch, lanes.over, transaction_seconds)
        self._lanes = lanes
        self._number = number
        self._lost: set[TopicPartition] = set()
        self._awaited |= dict.fromkeys(_THE_DEALERS, self._left_to_the_dealer)
        self._awaited[lx.Done] = self._done

    def lose(self, keys: Iterable[TopicPartition]) -> None:
        """Refuse to store positions of ``keys`` from now on: they belong to another consumer."""
        self._lost.update(keys)

    async def _join(self) -> None:
        """It is in no group."""

    async def _leave(self) -> None:
        """So there is nothing to leave."""

    async def _fetch(self, effect: fx.Poll) -> Fetched | None:
        """Act upon all news, and return messages that were dealt.

        Claims and what is given up come to their end, as those of a reader without lanes, which are
        within a poll: a cancellation waits for them.
        """
        if self._lanes.over.is_set():
            return None
        await self._lanes.wait(self._number, effect.seconds)
        board = self._lanes.board
        while (news := board.news(self._number)) is not None:
            await to_its_end(asyncio.create_task(self._drive(self.flow.told(news))))
            self._lanes.has_read(self._number)
        self._lost.clear()  # of what was lost by now, the flow has heard
        taken: dict[TopicPartition, list[Message[Any]]] = defaultdict(list)
        for key, message in board.take(self._number, effect.messages):
            taken[key].append(message)
        return {key: Messages.of(some).raw for key, some in taken.items()}

    @property
    def _lost_in_flight(self) -> Collection[TopicPartition]:
        return self._lost

    async def _done(self, effect: lx.Done) -> None:
        board = self._lanes.board
        board.done(self._number, effect.partition, effect.epoch, effect.upto)

    async def _revoked(self, effect: fx.Revoked) -> None:
        self._work.recording.forget(effect.partitions)  # the dealer tells the user

    async def _left_to_the_dealer(self, effect: fx.Effect) -> None:
        """It fetches, and tells the user; what rests waits here, and takes room on the board."""

    async def _report(self, effect: fx.Report) -> None:
        if effect.name != "claimed":  # the dealer has told of the partition
            await super()._report(effect)


_THE_DEALERS: tuple[type, ...] = (fx.Assign, fx.Pause, fx.Resume, fx.Assigned)
