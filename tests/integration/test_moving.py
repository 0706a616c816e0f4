"""Moving between modes and from and to a plain consumer of Kafka, while messages keep coming."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from confluent_kafka import Consumer as KafkaConsumer
from confluent_kafka import Producer
from consuming import running
from counting import Runs
from pymongo.database import Database
from trial import DEADLINE, EFFECTS, PATIENT, Document, Place, eventually, verdict, wait_until_done
from typer.testing import CliRunner

from eoconsumer.cli.app import app
from eoconsumer.servers import KafkaBroker
from eoconsumer.stores.mongo import MongoStore

EACH = 300  # messages that each of the consumers handles at least, before the next takes over


class Load:
    """Produces to three partitions, about a thousand messages in a second, until the block ends."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.places: list[Place] = []
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 2})
        self._topic = topic
        self._enough = threading.Event()

    def __enter__(self) -> Load:
        self._thread = threading.Thread(target=self._produce, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        self._enough.set()
        self._thread.join()
        assert self._producer.flush(DEADLINE) == 0

    def _produce(self) -> None:
        number = 0
        while not self._enough.wait(0.01):
            for _ in range(10):
                number += 1
                self._producer.produce(
                    self._topic, b"{}", partition=number % 3, on_delivery=self._delivered
                )
            self._producer.poll(0)

    def _delivered(self, error: Any, message: Any) -> None:
        assert error is None, error
        self.places.append((message.partition(), message.offset()))


def _place(message: Any) -> dict[str, int]:
    return {"partition": message.partition(), "offset": message.offset()}


class Trial:
    """The consumers of one group, which follow each other."""

    def __init__(
        self, bootstrap: str, topic: str, url: str, store: MongoStore, database: Database[Document]
    ) -> None:
        self.bootstrap, self.topic, self.url = bootstrap, topic, url
        self.store, self.database = store, database
        self.effects = database[EFFECTS]

    def plain(self, enough: Callable[[int], bool] = lambda handled: handled >= EACH) -> None:
        """Handle messages as a consumer that knows only Kafka: their effects, then a commit."""
        settings = {"group.id": self.topic, "enable.auto.commit": False, **PATIENT}
        start = {"auto.offset.reset": "earliest"}
        client = KafkaConsumer({"bootstrap.servers": self.bootstrap, **settings, **start})
        client.subscribe([self.topic])
        handled, until = 0, time.monotonic() + DEADLINE
        while not enough(handled):
            assert time.monotonic() < until, f"only {handled} messages came"
            messages = client.consume(100, 0.1)
            if not messages:
                continue
            assert [message.error() for message in messages if message.error()] == []
            self.effects.insert_many(
                {
                    "partition": m.partition(),
                    "offset": m.offset(),
                    "handled_at": time.monotonic_ns(),
                }
                for m in messages
            )
            client.commit(asynchronous=False)
            handled += len(messages)
        client.close()

    def show_positions_to_kafka(self) -> None:
        """Do what the documents say before a plain consumer takes over."""
        addresses = ("-b", self.bootstrap, "--store", self.url, "--group", self.topic)
        command = ("offsets", "reset", *addresses, "--all-topics", "--shift-by", "0", "--execute")
        # A member that left in the middle of a rebalance stays until its session is over.
        eventually(lambda: CliRunner().invoke(app, command).exit_code == 0)

    @contextmanager
    def at_work(self, mode: str, **settings: Any) -> Iterator[None]:
        """Let a consumer in ``mode`` work until the block ends, and before that on its share."""
        consumer = Runs(self.bootstrap, self.store, self.topic, mode=mode, **settings)
        with running(consumer):
            eventually(lambda: consumer.snapshot().committed >= EACH)
            yield


@pytest.fixture
def trial(
    kafka_broker: KafkaBroker,
    topic: str,
    store_url: str,
    store: MongoStore,
    database: Database[Document],
) -> Trial:
    return Trial(kafka_broker.bootstrap_servers, topic, store_url, store, database)


@pytest.mark.slow
@pytest.mark.requirement("N13")
@pytest.mark.parametrize("topic", [3], indirect=True)
def test_from_a_plain_consumer_through_the_modes_and_back_nothing_is_lost_or_doubled(
    trial: Trial,
) -> None:
    with Load(trial.bootstrap, trial.topic) as load:
        trial.plain()
        for mode in ("at_least_once", "exactly_once", "at_least_once"):
            with trial.at_work(mode, start="group"):
                pass
    trial.show_positions_to_kafka()
    trial.plain(lambda _: trial.effects.count_documents({}) >= len(load.places))
    assert verdict(trial.database, load.places) == (0, 0, 0)


@pytest.mark.slow
@pytest.mark.requirement("N13")
@pytest.mark.parametrize("topic", [3], indirect=True)
def test_a_rolling_change_of_the_mode_and_back_loses_and_doubles_nothing(trial: Trial) -> None:
    with Load(trial.bootstrap, trial.topic) as load, ExitStack() as last:
        with ExitStack() as middle:
            with trial.at_work("at_least_once"):
                middle.enter_context(trial.at_work("exactly_once"))
            last.enter_context(trial.at_work("at_least_once"))
        load.end()
        wait_until_done(trial.database, load.places)
    assert verdict(trial.database, load.places) == (0, 0, 0)
