"""What becomes of messages that are fed to a consumer, and what its reader is made of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from pydantic_core import to_json

from eoconsumer.codecs import Route, Routes
from eoconsumer.config import Config
from eoconsumer.core.flow import Flow
from eoconsumer.core.positions import Position
from eoconsumer.errors import ConfigurationError
from eoconsumer.message import Message, Record, TopicPartition
from eoconsumer.runner import User
from eoconsumer.runner.watch import Watch
from eoconsumer.telemetry import Events
from eoconsumer.testing.fed_source import FedSource


class Failed(NamedTuple):
    """A message that failed for good, with what its handler raised, after so many tries."""

    message: Message[Any]
    error: BaseException
    attempts: int


@dataclass
class Fed:
    """What became of the messages.

    ``applied``: handled and committed, in the order in which the handler got them. ``skipped`` and
    ``buried``: failed for good, by ``on_poison``. ``parked``: waiting behind a buried one of their
    key. A message below the stored position of its partition is none of these: it was applied
    before. ``batches`` counts transactions (in the other modes: runs), ``retries`` the tries of
    messages after their first.
    """

    applied: list[Message[Any]] = field(default_factory=list)
    skipped: list[Failed] = field(default_factory=list)
    buried: list[Failed] = field(default_factory=list)
    parked: list[Message[Any]] = field(default_factory=list)
    batches: int = 0
    retries: int = 0

    @property
    def failed(self) -> list[Failed]:
        """Those that were skipped or buried."""
        return [*self.skipped, *self.buried]


class Stopping(Protocol):
    """The flag of a reader."""

    def set(self) -> None:
        """Ask the reader to stop."""


class Feeding:
    """One feed of one consumer."""

    def __init__(self, config: Config, user: User, events: Events) -> None:
        """Prepare for a consumer with ``config``, whose ``user`` a runner would get."""
        self._config = config
        self.user = user
        self.recorder = _Recorder(events)
        self.logs: _Logs = {}
        self._stored: dict[TopicPartition, int] = {}

    def take(
        self,
        messages: Iterable[object],
        topic: str,
        partition: int,
        rows: Mapping[TopicPartition, Position],
    ) -> None:
        """Put ``messages`` behind the positions that the store has."""
        routes = self.user.routes
        self._stored = {key: row.next_offset for key, row in rows.items()}
        place = TopicPartition(topic or _only(routes), partition)
        if isinstance(messages, Record | str | bytes):
            raise ConfigurationError(
                f"A single {type(messages).__name__} is fed; nothing was handled. Feed a list."
            )
        self.logs, made = _logs(messages, place, self._stored)
        for key in self.logs:
            _has_handler(routes, key.topic)
        if made:
            self.user = replace(self.user, routes=_with_values(routes, made))

    def flow(self) -> Flow:
        """Return what decides: the settings of the consumer, but for what needs Kafka or time."""
        settings = self._config.of_reader(0)
        at_once = replace(settings.retry, minimum=0.0, maximum=0.0)
        return Flow(
            replace(settings, start="earliest", positions="store", mirror=False, retry=at_once)
        )

    def source(self, stopping: Stopping) -> FedSource:
        """Return what stands for Kafka; all being done, it stops the reader."""

        def through(ends: Mapping[TopicPartition, int]) -> None:
            positions = self.recorder.snapshot().positions
            if all(positions.get(key, -1) >= end for key, end in ends.items()):
                stopping.set()

        return FedSource(self.logs, self._stored, through)


class _Recorder(Watch):
    """Keeps what happens; the consumer's own hooks hear of it too."""

    def __init__(self, events: Events) -> None:
        super().__init__(events)
        self.fed = Fed()

    def report(self, name: str, details: Mapping[str, Any]) -> None:
        fed = self.fed
        if name == "committed":
            fed.batches += 1
            fed.applied += [message for run in details["runs"] for message in run.live]
        elif name in ("skipped", "buried"):
            (fed.skipped if name == "skipped" else fed.buried).append(Failed(**details))
        elif name == "parked":
            fed.parked += details["messages"]
        elif name == "retry":
            fed.retries += 1
        super().report(name, details)


_Made = dict[tuple[TopicPartition, int], Message[Any]]
_Logs = dict[TopicPartition, list[Record]]


def _logs(
    messages: Iterable[object], place: TopicPartition, stored: Mapping[TopicPartition, int]
) -> tuple[_Logs, _Made]:
    """Return the messages of each partition, and those that keep their value."""
    logs: _Logs = defaultdict(list)
    made: _Made = {}
    for message in messages:
        log = logs[place]
        record = _record(message, place, log[-1].offset_number + 1 if log else stored.get(place, 0))
        key = TopicPartition(record.topic_name, record.partition_number)
        last = logs[key][-1].offset_number if logs[key] else -1
        if last >= record.offset_number:
            raise ConfigurationError(
                f"{key}@{record.offset_number} is fed behind @{last}; nothing was handled. Offsets "
                "grow within a partition. To see that a message which comes again is not applied "
                "again, feed it in a second call."
            )
        logs[key].append(record)
        if isinstance(message, Message):
            made[key, record.offset_number] = message
    return {key: log for key, log in logs.items() if log}, made


def _record(message: object, place: TopicPartition, offset: int) -> Record:
    """Return ``message`` as it would lie in Kafka."""
    if isinstance(message, Record):
        return message
    if isinstance(message, Message):
        return Record(
            message.topic,
            message.partition,
            message.offset,
            message.raw_value,
            message.raw_key,
            message.headers,
            message.timestamp,
            message.leader_epoch,
        )
    if isinstance(message, bytes | None):
        return Record(*place, offset, message)
    return Record(
        *place, offset, message.encode() if isinstance(message, str) else to_json(message)
    )


def _with_values(routes: Routes, made: _Made) -> Routes:
    """Return ``routes`` with decoders that leave the value of a message alone that has one."""

    def knowing(route: Route) -> Route:
        def decode(message: Message[Any]) -> Any:
            place = (TopicPartition(message.topic, message.partition), message.offset)
            if place in made:
                return made[place].value
            return message.value if route.decode is None else route.decode(message)

        return replace(route, decode=decode)

    return Routes([knowing(route) for route in routes.routes])


def _only(routes: Routes) -> str:
    """Return the topic of values; that of a consumer with many is asked for when it is needed."""
    topics = [topic for topic in routes.topics if not topic.startswith("^")]
    return topics[0] if len(routes.topics) == len(topics) == 1 else ""


def _has_handler(routes: Routes, topic: str) -> None:
    if not routes.routes:
        raise ConfigurationError(
            "There is no handler; nothing was handled. Decorate one with @consumer.on(topic)."
        )
    if not topic:
        raise ConfigurationError(
            "The consumer has several topics, or a pattern: it is not known of which one the "
            "values are. Nothing was handled. Say topic=, or feed Records."
        )
    try:
        routes.of(topic)
    except ConfigurationError:
        raise ConfigurationError(
            f"The consumer has no handler for the topic {topic!r}; nothing was handled. Its topics "
            f"are {routes.topics}."
        ) from None
