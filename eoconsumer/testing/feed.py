"""Handlers under test without Kafka: ``feed`` gives a consumer messages, and tells what happened.

::

    def test_a_move_changes_the_stock():
        store = MongoStore(mongomock.MongoClient(), "shop")
        fed = feed(Ledger("unused:9092", store), [StockMove(item="tea", quantity=3)])
        assert len(fed.applied) == 1
        assert store.database["stock"].find_one() == {"_id": "tea", "quantity": 3}

Everything but Kafka is the library's own: the consumer's decoder and handler, its mode, its
batches, its tries and its ``on_poison``, with one transaction of its store for each batch.
"""

from __future__ import annotations

import os
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from pydantic_core import to_json

from eoconsumer.codecs import Route, Routes
from eoconsumer.consumer import Consumer
from eoconsumer.core.flow import Flow
from eoconsumer.errors import ConfigurationError
from eoconsumer.message import Message, Record, TopicPartition
from eoconsumer.protocols import Store
from eoconsumer.runner.flag import Flag
from eoconsumer.runner.reader import Reader
from eoconsumer.runner.watch import Watch
from eoconsumer.stores.mongo import MongoStore
from eoconsumer.stores.mongo.concerns import is_mock
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


def feed(
    consumer: Consumer, messages: Iterable[object], *, topic: str = "", partition: int = 0
) -> Fed:
    """Let ``consumer`` consume ``messages``, and return what became of them.

    Each is a value, a ``Record`` or a ``Message``. A value becomes the payload of a message in
    ``topic`` (None: the consumer's only one) and ``partition``: bytes and None as they are, text in
    UTF-8, all else as JSON (pydantic models, dicts, dataclasses); its offset is the next one. A
    ``Record`` goes where it says. Both are decoded as in production; a ``Message`` made by hand
    keeps its value.

    Runs on the calling thread, and calls the store's ``setup``. It does not wait between the tries
    of a message, and starts at the first message whatever ``start`` says; positions are kept in the
    store, so that a later call goes on behind this one. A ``MongoStore`` on a mongomock client is
    accepted, with an imitation of transactions: see ``docs/how-to/test-your-handler.md``.

    Raises what ``run`` would raise: ``HandlerFailed`` and ``DecodeError`` where ``on_poison`` is
    "stop", ``HandlerMisuse``, ``StoreError``; ``ConfigurationError`` for a topic without a handler
    and for offsets that do not grow.
    """
    store = _served(consumer.store)
    store.setup()
    user = consumer._user()  # what a runner gets
    recorder = _Recorder(consumer.events)
    stopping = Flag()
    owner = f"feed:{os.getpid()}:{uuid.uuid4().hex}"
    with closing(store.open(consumer.config.group, owner)) as session:
        stored = {key: row.next_offset for key, row in session.all_positions().items()}
    logs, made = _logs(messages, TopicPartition(topic or _only(user.routes), partition), stored)
    for key in logs:
        _has_handler(user.routes, key.topic)
    if not logs:
        return recorder.fed

    def through(ends: Mapping[TopicPartition, int]) -> None:
        positions = recorder.snapshot().positions
        if all(positions.get(key, -1) >= end for key, end in ends.items()):
            stopping.set()

    settings = consumer.config.of_reader(0)
    settings = replace(
        settings,
        start="earliest",
        positions="store",
        mirror=False,
        retry=replace(settings.retry, minimum=0.0, maximum=0.0),
    )
    Reader(
        Flow(settings),
        FedSource(logs, stored, through),
        store.open(consumer.config.group, owner),
        replace(user, routes=_with_values(user.routes, made)),
        recorder,
        stopping,
        store.transaction_seconds,
    ).run()
    return recorder.fed


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
        record = _record(message, place, log[-1].offset() + 1 if log else stored.get(place, 0))
        key = TopicPartition(record.topic(), record.partition())
        if logs[key] and logs[key][-1].offset() >= record.offset():
            raise ConfigurationError(
                f"{key}@{record.offset()} is fed behind @{logs[key][-1].offset()}; nothing was "
                "handled. Offsets grow within a partition. To see that a message which comes again "
                "is not applied again, feed it in a second call."
            )
        logs[key].append(record)
        if isinstance(message, Message):
            made[key, record.offset()] = message
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


def _served(store: Store[Any]) -> Store[Any]:
    """Return ``store``, or what stands for it where it has no transactions of its own."""
    if isinstance(store, MongoStore) and is_mock(store.client):
        from eoconsumer.testing.mocked_mongo import mocked  # mongomock is an extra

        return mocked(store)
    return store
