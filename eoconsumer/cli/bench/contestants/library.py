"""The library, with the handlers that a user would write: one insert for each message."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from pymongo import InsertOne
from pymongo.client_session import ClientSession

from eoconsumer import Consumer, Events, Message
from eoconsumer.cli.bench.meter import Meter
from eoconsumer.cli.bench.task import Task
from eoconsumer.codecs import Form
from eoconsumer.core.effects import Run
from eoconsumer.message import TopicPartition
from eoconsumer.protocols import Store
from eoconsumer.stores.memory import MemoryStore
from eoconsumer.stores.mongo import MongoStore


class Metered(Events):
    """Tells the meter what the readers do."""

    def __init__(self, meter: Meter, *, timed: bool) -> None:
        """Tell ``meter``; where ``timed`` is set the latency of each message as well."""
        self._meter = meter
        self._timed = timed

    def claimed(self, positions: Mapping[TopicPartition, int]) -> None:  # noqa: ARG002 - a hook
        """The work may begin."""
        self._meter.ready()

    def committed(self, runs: tuple[Run, ...], seconds: float) -> None:
        """A batch that was there so many seconds ago is committed."""
        self._meter.committed(sum(map(len, runs)), time.perf_counter() - seconds)
        if self._timed:
            messages = (message for run in runs for message in run.live)
            self._meter.produced_at(orjson.loads(message.value)["at"] for message in messages)


def writes(task: Task, meter: Meter) -> None:
    """Return each write as a value, and touch nothing."""
    store = MongoStore.connect(task.store)
    namespace = f"{store.database.name}.ledger"

    def insert(message: Message[bytes]) -> InsertOne[dict[str, Any]]:
        return InsertOne(orjson.loads(message.value), namespace=namespace)

    _consume(task, meter, store, "writes", insert)


def batch(task: Task, meter: Meter) -> None:
    """Write the messages of one partition with one ``insert_many``."""
    store = MongoStore.connect(task.store)
    ledger = store.database["ledger"]

    def insert(messages: Sequence[Message[bytes]], session: ClientSession) -> None:
        ledger.insert_many([orjson.loads(each.value) for each in messages], session=session)

    _consume(task, meter, store, "batch", insert)


def handle(task: Task, meter: Meter) -> None:
    """Write each message with an ``insert_one``."""
    store = MongoStore.connect(task.store)
    ledger = store.database["ledger"]

    def insert(message: Message[bytes], session: ClientSession) -> None:
        ledger.insert_one(orjson.loads(message.value), session=session)

    _consume(task, meter, store, "handle", insert)


def memory(task: Task, meter: Meter) -> None:
    """Keep the bytes of each message in a list: what the library itself costs."""
    store = MemoryStore()

    def append(message: Message[bytes]) -> list[tuple[str, bytes]]:
        return [("ledger", message.value)]

    _consume(task, meter, store, "writes", append)
    kept = store.tables["ledger"]
    if len(kept) != task.messages or len(set(kept)) != task.messages:
        raise RuntimeError(f"{len(set(kept))} of {task.messages} messages, {len(kept)} in all")


def _consume(
    task: Task, meter: Meter, store: Store[Any], form: Form, handler: Callable[..., object]
) -> None:
    settings = dict(task.settings)
    events = Metered(meter, timed=settings.pop("latency", False))
    consumer = Consumer(
        task.bootstrap, store, topics=[task.topic], group=task.group, events=events, **settings
    )
    consumer.on(form=form)(handler)
    meter.started()
    meter.when_done(consumer.stop)
    consumer.run()
    store.close()
