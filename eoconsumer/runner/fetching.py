"""The Kafka half of a reader: its client, its keep-alive, and the effects that concern Kafka."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

from eoconsumer.core import effects as fx
from eoconsumer.core.flow import Flow
from eoconsumer.core.identity import Found, Sighting
from eoconsumer.core.positions import Start
from eoconsumer.message import RawMessage, TopicPartition, place
from eoconsumer.protocols import Source
from eoconsumer.runner.keepalive import KeepAlive

Polled = dict[TopicPartition, list[RawMessage]]


class Fetching:
    """What one reader does with its ``source``; used by one thread at a time."""

    def __init__(
        self,
        flow: Flow,
        source: Source,
        is_stopping: Callable[[], bool],
        drive: Callable[[fx.Effects[None]], None],
    ) -> None:
        """Join nothing yet; ``drive`` carries out what the core wants in a rebalance."""
        self.flow = flow
        self.source = source
        self._is_stopping = is_stopping
        self._drive = drive
        self._failure: BaseException | None = None
        self._keeper = KeepAlive(self)
        self.carry_out: dict[type, Callable[[Any], Any]] = {
            fx.Resolve: self._resolve,
            fx.Inspect: self._inspect,
            fx.Glance: self._glance,
            fx.LookUp: self._look_up,
            fx.Assign: self._assign,
            fx.Pause: self._pause,
            fx.Resume: self._resume,
            fx.CommitGroup: self._commit_group,
            fx.Mirror: self._mirror,
        }

    def start(self, topics: list[str]) -> None:
        """Join the group, and begin to watch over the reader."""
        source, keeper = self.source, self._keeper
        source.commit_failed = self.flow.mirror_failed
        source.position_failed = self.flow.position_failed
        source.subscribe(topics, keeper.assigned, keeper.revoked, keeper.lost)
        keeper.start()

    def stop(self) -> None:
        """Leave the group, once no poll of ours is under way."""
        self._keeper.stop()
        self.source.close()

    def poll(self, effect: fx.Poll) -> Polled | None:
        """Return what came, by partition; None once stop was asked for."""
        if self._is_stopping():
            return None
        with self._keeper.polling():
            raw = self._keeper.take_kept()
            raw += self.source.poll(effect.messages, 0.0 if raw else effect.seconds)
            raw = self._keeper.still_ours(raw)
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        return by_partition(raw)

    def rebalance(self, effects: fx.Effects[None]) -> None:
        """Drive ``effects`` inside a callback of Kafka, through which no error must leave."""
        try:
            self._drive(effects)
        except BaseException as error:
            self._failure = self._failure or error

    @property
    def lost_in_flight(self) -> set[TopicPartition]:
        """What the keep-alive was told that it is lost, while the reader was at work."""
        return self._keeper.lost_in_flight

    def _resolve(self, effect: fx.Resolve) -> dict[TopicPartition, Start]:
        return self.source.resolve(effect.policies)

    def _inspect(self, effect: fx.Inspect) -> dict[TopicPartition, Sighting]:
        return self.source.inspect(effect.partitions)

    def _glance(self, effect: fx.Glance) -> dict[TopicPartition, Sighting] | None:
        return self.source.glance(effect.partitions)

    def _look_up(self, effect: fx.LookUp) -> dict[TopicPartition, Found | None]:
        return self.source.look_up(effect.offsets)

    def _assign(self, effect: fx.Assign) -> None:
        if effect.positions:
            others = {
                key: partition.fetched
                for key, partition in self.flow.partitions.items()
                if partition.live and key not in effect.positions
            }
            self.source.assign(effect.positions, others)

    def _pause(self, effect: fx.Pause) -> None:
        with self._keeper.client() as free:
            if free:  # else it is paused already, and stays so while it rests
                self.source.pause([effect.partition])

    def _resume(self, effect: fx.Resume) -> None:
        with self._keeper.client() as free:
            if free:  # else the next poll resumes it
                self.source.resume([effect.partition])

    def _commit_group(self, effect: fx.CommitGroup) -> None:
        self.source.commit(effect.positions, wait=True)

    def _mirror(self, effect: fx.Mirror) -> None:
        with self._keeper.client() as free:
            if free:
                self.source.commit(effect.positions, wait=False)
            else:
                self.flow.mirror_failed(effect.positions)


def by_partition(raw: Iterable[RawMessage]) -> Polled:
    """Put messages together that are of one partition, in their order."""
    polled: dict[tuple[str, int], list[RawMessage]] = defaultdict(list)
    for partition, messages in groupby(raw, place):
        polled[partition] += messages
    return {TopicPartition(*partition): messages for partition, messages in polled.items()}
