"""Where the sides take their turns: the servers, the topics, and a database for each run."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from eoconsumer.cli.bench.counting import miscounted, positions
from eoconsumer.cli.bench.load import produce
from eoconsumer.cli.bench.process import Side
from eoconsumer.cli.bench.task import Result, Task, merged
from eoconsumer.cli.servers import servers
from eoconsumer.errors import EOConsumerError
from eoconsumer.servers import KafkaBroker, MongoReplicaSet

POLL_SECONDS = 0.1
#: How long the first members of a group wait for the others, as brokers do in production: then
#: all readers get their share at once, and none has to give half of it away.
BROKER = {"group.initial.rebalance.delay.ms": "1000"}
#: The best code that Java can make, as brokers in production have it.
JVM = ("-XX:TieredStopAtLevel=4",)


@dataclass(frozen=True, slots=True)
class Load:
    """A topic, and how many messages are in it, or will be."""

    bootstrap: str
    topic: str
    partitions: int
    messages: int


class Counters(NamedTuple):
    """What the primary has done so far: committed transactions, and ``update`` commands.

    Where a ledger only inserts, every ``update`` moves positions.
    """

    transactions: int
    moves: int


class Stage:
    """Real servers, on which one side after the other runs."""

    def __init__(
        self, kafka: KafkaBroker, mongo: MongoReplicaSet, client: MongoClient[dict[str, Any]]
    ) -> None:
        """Use servers that run."""
        self.kafka, self.mongo, self.client = kafka, mongo, client
        pids = tuple(node.pid for node in mongo.nodes)
        self.pids = {"kafka": (kafka.pid,), "mongod": pids}

    def empty(self, messages: int, partitions: int = 6) -> Load:
        """Make a topic for ``messages`` that are still to come."""
        topic = f"bench-{uuid.uuid4().hex[:8]}"
        self.kafka.create_topic(topic, partitions)
        return Load(self.kafka.bootstrap_servers, topic, partitions, messages)

    def filled(self, messages: int, partitions: int = 6, size: int = 200) -> Load:
        """Make a topic of ``messages`` of ``size`` bytes."""
        load = self.empty(messages, partitions)
        produce(load.bootstrap, load.topic, partitions, messages, size=size)
        return load

    def remove(self, load: Load) -> None:
        """Remove a topic: its messages take space on the disk."""
        self.kafka.delete_topic(load.topic)

    def run(
        self, contestant: str, load: Load, messages: int | None = None, **settings: Any
    ) -> Result:
        """Run ``contestant`` with a fresh group on a fresh database, and count what came of it.

        Raises ``EOConsumerError`` where it fails, or where not every message below its positions
        is there once.
        """
        with self.side(contestant, load, messages, **settings) as side:
            return side.result()

    def at_rate(self, contestant: str, rate: int, seconds: int, **settings: Any) -> Result:
        """Run ``contestant`` on messages that come one by one, and measure their latency."""
        load = self.empty(rate * seconds)
        with self.side(contestant, load, latency=True, **settings) as side:
            side.wait_until_ready()
            produce(load.bootstrap, load.topic, load.partitions, load.messages, rate=rate)
            return side.result()

    def without_database(self, contestant: str, load: Load) -> Result:
        """Run ``contestant``, which keeps in its memory what it gets, and counts it itself."""
        with closing(Side(self._task(contestant, load, "memory://", None, {}))) as side:
            side.wait_until_up()
            side.go()
            return side.result()

    def counters(self) -> Counters:
        """Ask the primary what it has done so far."""
        status = self.client.admin.command("serverStatus")
        updates = status["metrics"]["commands"]["update"]["total"]
        return Counters(status["transactions"]["totalCommitted"], updates)

    @property
    def mongod(self) -> str:
        """The version of the database."""
        return str(self.client.server_info()["version"])

    def together(self, contestant: str, load: Load, workers: int, **settings: Any) -> Result:
        """Run ``contestant`` in so many processes of one group; what they did counts as one."""
        with self._sides(contestant, load, None, workers, settings) as (database, sides):
            while sum(positions(database).values()) < load.messages:
                if dead := next((side for side in sides if not side.alive), None):
                    dead.result()  # raises, for it had no reason to end
                time.sleep(POLL_SECONDS)
            for side in sides:
                side.stop()
            return merged([side.result() for side in sides])

    @contextmanager
    def side(
        self, contestant: str, load: Load, messages: int | None = None, **settings: Any
    ) -> Iterator[Side]:
        """Start ``contestant``; when this is left it is counted, and its database removed."""
        with self._sides(contestant, load, messages, 1, settings) as (_, (side,)):
            yield side

    @contextmanager
    def _sides(
        self,
        contestant: str,
        load: Load,
        messages: int | None,
        number: int,
        settings: Mapping[str, Any],
    ) -> Iterator[tuple[Database[dict[str, Any]], list[Side]]]:
        name = f"bench_{uuid.uuid4().hex[:12]}"
        database = self.client.get_database(
            name, read_concern=ReadConcern("majority"), write_concern=WriteConcern("majority")
        )
        for collection in ("ledger", "positions"):
            database.create_collection(collection)
        task = self._task(contestant, load, self.mongo.url_for(name), messages, settings)
        try:
            with contextlib.ExitStack() as stack:
                sides = [stack.enter_context(closing(Side(task))) for _ in range(number)]
                for side in sides:
                    side.wait_until_up()
                for side in sides:
                    side.go()
                yield database, sides
            if wrong := miscounted(database, task):
                raise EOConsumerError(f"The side {contestant} did not do its work: {wrong}.")
        finally:
            self.client.drop_database(name)

    def _task(
        self,
        contestant: str,
        load: Load,
        store: str,
        messages: int | None,
        settings: Mapping[str, Any],
    ) -> Task:
        return Task(
            contestant=contestant,
            bootstrap=load.bootstrap,
            store=store,
            topic=load.topic,
            partitions=load.partitions,
            messages=messages or load.messages,
            group=f"bench_{uuid.uuid4().hex[:12]}",
            servers=self.pids,
            settings=settings,
        )


@contextmanager
def stage(say: Callable[[str], None]) -> Iterator[Stage]:
    """Start the servers, and stop them at the end; ``say`` is told what takes time."""
    with (
        servers(say, BROKER, JVM) as (kafka, mongo),
        MongoClient[dict[str, Any]](mongo.url) as client,
    ):
        yield Stage(kafka, mongo, client)
