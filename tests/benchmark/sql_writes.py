"""Writes as values into SQL databases, against the best loop by hand for each of them.

    python -m tests.benchmark.sql_writes --pairs 7

Both sides do the same work: a row for each message of 200 bytes, and the positions moved by
conditional updates, in one transaction; two readers (SQLite: one, for it has one writer). The loops
use the driver itself. They take turns, and the ratio is taken pair by pair; on a machine that is
busy with other work, the client's own CPU time for a message tells more.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from confluent_kafka import Consumer as KafkaConsumer
from confluent_kafka import TopicPartition
from sqlalchemy import BigInteger, Column, Engine, MetaData, String, Table, func, insert, select

from eoconsumer import Consumer, Events, Message
from eoconsumer.cli.bench.figures import Spread, ratios
from eoconsumer.cli.bench.load import produce
from eoconsumer.cli.bench.stage import BROKER
from eoconsumer.servers import KafkaBroker, MariaDBServer, PostgresServer
from eoconsumer.stores.sql import SQLStore

TOPIC, PARTITIONS, BATCH, QUEUE_KBYTES = "moves", 6, 5_000, 16_384
METADATA = MetaData()
LEDGER = Table("ledger", METADATA, Column("n", BigInteger), Column("note", String(1_000)))
POSITIONS = Table(
    "by_hand",
    METADATA,
    Column("part", BigInteger, primary_key=True, autoincrement=False),
    Column("upto", BigInteger),
)
INSERT = insert(LEDGER)
ROW = "INSERT INTO ledger (n, note) VALUES (?, ?)"
MOVE = "UPDATE by_hand SET upto = ? WHERE part = ? AND upto = ?"

Rows = list[tuple[int, str]]


class Rate(NamedTuple):
    """Messages a second, and microseconds of the client's CPU for each."""

    messages: float
    cpu: float


class Clock(Events):
    """Measures from the first message in hand to the last commit; thread-safe."""

    def __init__(self, count: int) -> None:
        self._lock, self.left = threading.Lock(), count
        self._count, self._began, self._used = count, 0.0, 0.0
        self.rate: Rate | None = None

    def begin(self, ago: float = 0.0) -> None:
        """Note that there are messages now, or since some seconds."""
        if not self._began:
            self._began = time.perf_counter() - ago
            self._used = self._used or time.process_time()

    def done(self, messages: int) -> None:
        """Note a commit."""
        with self._lock:
            self.left -= messages
            if self.left <= 0:
                seconds = time.perf_counter() - self._began
                used = (time.process_time() - self._used) / self._count * 1e6
                self.rate = Rate(self._count / seconds, used)

    def claimed(self, positions: object) -> None:  # noqa: ARG002 - a hook
        """The first messages come soon."""
        self._used = self._used or time.process_time()

    def committed(self, runs: Sequence[Any], seconds: float) -> None:
        """The library has committed a batch that was there so many seconds ago."""
        self.begin(seconds)
        self.done(sum(map(len, runs)))


class Ledger(Consumer):
    """The library."""

    topics = TOPIC

    def writes(self, message: Message[bytes]) -> Any:
        """Return one row."""
        value = orjson.loads(message.value)
        return [(INSERT, {"n": value["n"], "note": value["note"]})]


def library(bootstrap: str, url: str, count: int, readers: int) -> Rate:
    """Let the library do it."""
    clock, store = Clock(count), SQLStore.connect(url)
    ledger = Ledger(bootstrap, store, group=uuid.uuid4().hex, readers=readers, events=clock)
    ledger.run_until(lambda _: clock.rate is not None)
    store.close()
    assert clock.rate is not None
    return clock.rate


def by_hand(put: Callable[[Any, Rows], None]) -> Callable[[str, str, int, int], Rate]:
    """Return a loop that writes its rows by ``put``."""

    def loop(bootstrap: str, url: str, count: int, readers: int) -> Rate:
        clock, store = Clock(count), SQLStore.connect(url)  # for its engine and its settings
        shares = [range(number, PARTITIONS, readers) for number in range(readers)]
        threads = [
            threading.Thread(target=_read, args=(bootstrap, store.engine, share, count, put, clock))
            for share in shares
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        store.close()
        assert clock.rate is not None, "a loop failed"
        return clock.rate

    return loop


def _read(
    bootstrap: str,
    engine: Engine,
    mine: Iterable[int],
    count: int,
    put: Callable[[Any, Rows], None],
    clock: Clock,
) -> None:
    settings = {"bootstrap.servers": bootstrap, "group.id": "hand", "enable.auto.commit": False}
    consumer = KafkaConsumer(settings | {"queued.max.messages.kbytes": QUEUE_KBYTES})
    consumer.assign([TopicPartition(TOPIC, p, 0) for p in mine])
    clock.claimed(mine)  # from here on librdkafka fetches, on both sides
    upto = dict.fromkeys(mine, 0)
    left = sum(len(range(p, count, PARTITIONS)) for p in mine)
    move = _styled(engine, MOVE)
    with closing(consumer), engine.connect() as connection:
        cursor = connection.connection.cursor()
        if engine.dialect.name == "sqlite":
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = FULL")
        while left:
            messages = consumer.consume(BATCH, 0.05)
            if not messages:
                continue
            clock.begin()
            rows, reached = [], dict[int, int]()
            for message in messages:
                assert message.error() is None
                value = orjson.loads(message.value() or b"")
                rows.append((value["n"], value["note"]))
                reached[message.partition() or 0] = (message.offset() or 0) + 1
            with connection.begin():
                put(cursor, rows)
                for part, position in reached.items():
                    cursor.execute(move, (position, part, upto[part]))
                    assert cursor.rowcount == 1, "another one moved it"
            upto |= reached
            left -= len(messages)
            clock.done(len(messages))


def _styled(engine: Engine, statement: str) -> str:
    return statement if engine.dialect.name == "sqlite" else statement.replace("?", "%s")


def with_places(cursor: Any, rows: Rows) -> None:
    """Write by executemany."""
    cursor.executemany(ROW, rows)


def with_formats(cursor: Any, rows: Rows) -> None:
    """Write by executemany."""
    cursor.executemany(ROW.replace("?", "%s"), rows)


def joined(cursor: Any, rows: Rows) -> None:
    """Write by statements of many rows, put together here; whole numbers need no driver."""
    for start in range(0, len(rows), 1_000):
        some = rows[start : start + 1_000]
        values = ", ".join([f"({n}, %s)" for n, _ in some])
        cursor.execute(f"INSERT INTO ledger (n, note) VALUES {values}", [note for _, note in some])


def copied(cursor: Any, rows: Rows) -> None:
    """Write by COPY."""
    with cursor.copy("COPY ledger (n, note) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def compare(
    name: str, bootstrap: str, url: str, given: argparse.Namespace, readers: int, **sides: Any
) -> None:
    """Let all ``sides`` take turns, and print what came of it."""
    sides = {"library": library, **{side: by_hand(put) for side, put in sides.items()}}
    rates: dict[str, list[Rate]] = {side: [] for side in sides}
    for number in range(given.pairs + 1):
        for side, run in sides.items():
            store = SQLStore.connect(url)
            METADATA.drop_all(store.engine)
            METADATA.create_all(store.engine)
            with store.engine.begin() as connection:
                rows = [{"part": p, "upto": 0} for p in range(PARTITIONS)]
                connection.execute(insert(POSITIONS), rows)
            rate = run(bootstrap, url, given.messages, readers)
            with store.engine.connect() as connection:
                counts = select(func.count(), func.count(LEDGER.c.n.distinct()))
                there = tuple(connection.execute(counts.select_from(LEDGER)).one())
            store.close()
            assert there == (given.messages, given.messages), f"{there} of {given.messages}"
            if number:  # the first round is a warm-up
                rates[side].append(rate)
    for side, found in rates.items():
        speed, used = (Spread.of(values).median for values in zip(*found, strict=True))
        print(f"{name:11} {side:12} {speed:8,.0f} messages/s  {used:5.1f} us of CPU", flush=True)
    for side in list(sides)[1:]:
        ratio = ratios(*([r.messages for r in rates[each]] for each in ("library", side)))
        spread = f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"
        print(f"{name:11} library / {side}: {spread} in messages/s", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure one database after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--messages", type=int, default=300_000)
    parser.add_argument("--only", default="postgresql,mariadb,sqlite")
    given = parser.parse_args(arguments)
    names = given.only.split(",")
    with KafkaBroker(settings=BROKER) as kafka:
        kafka.create_topic(TOPIC, PARTITIONS)
        servers = kafka.bootstrap_servers
        produce(servers, TOPIC, PARTITIONS, given.messages)
        if "postgresql" in names:
            with PostgresServer() as postgres:
                sides = {"copy": copied, "executemany": with_formats}
                compare("postgresql", servers, postgres.url, given, 2, **sides)
        if "mariadb" in names:
            with MariaDBServer() as mariadb:
                sides = {"joined": joined, "executemany": with_formats}
                compare("mariadb", servers, mariadb.url, given, 2, **sides)
        if "sqlite" in names:
            with tempfile.TemporaryDirectory() as folder:
                url = f"sqlite:///{Path(folder, 'shop.db')}"
                compare("sqlite", servers, url, given, 1, executemany=with_places)


if __name__ == "__main__":
    main()
