"""Readers of the simulator whose messages are handled in lanes: each lane moves on its own."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from eoconsumer.core import effects as fx
from eoconsumer.core import lane_effects as lx
from eoconsumer.core.board import Board
from eoconsumer.core.dealer import Dealer, LaneFlow
from eoconsumer.core.lanes import Lane
from eoconsumer.message import Message, TopicPartition
from eoconsumer.testing.simulated_reader import POSSIBLE, NotYet, SimulatedReader

if TYPE_CHECKING:
    from eoconsumer.testing.simulator import World


class SimulatedDealer(SimulatedReader):
    """A reader that deals its messages to lanes."""

    def __init__(self, world: World, lanes: int) -> None:
        """Start, and the lanes with it."""
        self.board = Board(lanes, world.chance.randint(2, 8), 1_000)
        self._closing: lx.Close | None = None
        super().__init__(world, Dealer(world.settings), Lane(0, lanes))
        for number in range(1, lanes + 1):
            self.crew.append(SimulatedLane(self, Lane(number, lanes)))

    def _open(self, effect: lx.Open, _: str | None) -> None:
        self.board.open(effect.rows)

    def _deal(self, effect: lx.Deal, _: str | None) -> lx.Dealt:
        self.board.deal(effect.messages)
        return self.board.standing()

    def _close(self, effect: lx.Close, _: str | None) -> lx.Dealt:
        if self._closing is not effect:
            self._closing = effect
            self.board.recall(effect.partitions, lost=effect.lost)
        if not effect.lost and not self.board.all_have_read:
            self.asleep_until = self.world.now + 0.05
            raise NotYet
        dealt = self.board.standing()
        self.board.forget(effect.partitions)
        return dealt


class SimulatedLane(SimulatedReader):
    """One lane: its Kafka is the dealer's board."""

    possible = {**POSSIBLE, fx.Poll: frozenset()}  # noqa: RUF012 - never changed

    def __init__(self, dealer: SimulatedDealer, lane: Lane) -> None:
        """Start."""
        self._board = dealer.board
        super().__init__(dealer.world, dealer.world.plan.make_lane(dealer.world.settings), lane)
        self.member, self.crew = dealer.member, dealer.crew

    def _poll(self, poll: fx.Poll, _: str | None) -> dict[TopicPartition, list[Message]]:
        assert isinstance(self.flow, LaneFlow)
        news = self._board.news(self.lane.number)
        if news is not None:
            self._push(self.flow.told(news), lambda: self._read(poll))
            raise NotYet
        fetched = defaultdict(list)
        count = self.world.chance.randint(0, poll.messages)
        for key, message in self._board.take(self.lane.number, count):
            fetched[key].append(message)
        if not fetched:
            self.asleep_until = self.world.now + poll.seconds
        return fetched

    def _read(self, poll: fx.Poll) -> None:
        self._board.has_read(self.lane.number)
        self.effect = poll

    def _done(self, effect: lx.Done, _: str | None) -> None:
        self._board.done(self.lane.number, effect.partition, effect.epoch, effect.upto)

    def _assign(self, effect: fx.Assign, _: str | None) -> None:
        """The dealer fetches."""

    def _pause(self, effect: fx.Pause, _: str | None) -> None:
        """What waits takes room on the board."""

    def _resume(self, effect: fx.Resume, _: str | None) -> None:
        """Nothing was paused."""
