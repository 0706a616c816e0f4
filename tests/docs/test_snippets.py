"""The programs of the documents do what the documents say, on a real broker and replica set."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import markdown
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from pymongo import MongoClient
from pymongo.database import Database

from eoconsumer.servers import KafkaBroker, MongoReplicaSet

SECONDS = 120.0  # a member that died without leaving is missed for 45 s
MOVES = [(item, quantity) for quantity, item in enumerate(["tea", "rice", "salt"] * 100)]
LEDGER = Counter(MOVES)


class Shop:
    """The servers of one test, and a copy of the snippets that uses them."""

    def __init__(
        self, folder: Path, kafka: KafkaBroker, mongo: MongoReplicaSet, client: MongoClient[Any]
    ) -> None:
        self.folder = folder
        self.kafka = kafka
        self.topic = f"stock-moves-{uuid.uuid4().hex[:8]}"
        self.database: Database[dict[str, Any]] = client[f"shop_{uuid.uuid4().hex[:8]}"]
        replaced = {
            "localhost:9092": kafka.bootstrap_servers,
            "mongodb://localhost:27017/shop?replicaSet=rs0": mongo.url_for(self.database.name),
            '"stock-moves"': f'"{self.topic}"',
            'group = "ledger"': f'group = "{self.topic}"',
            'group="ledger"': f'group="{self.topic}"',
        }
        for snippet in markdown.SNIPPETS.glob("*.py"):
            text = snippet.read_text("utf-8")
            for old, new in replaced.items():
                text = text.replace(old, new)
            (folder / snippet.name).write_text(text, "utf-8")

    def produce(self, values: Sequence[bytes]) -> None:
        self.kafka.create_topic(self.topic)
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap_servers})
        for value in values:
            producer.produce(self.topic, value)
        assert producer.flush(SECONDS) == 0

    def run(self, program: str) -> str:
        """Run a program that ends by itself; return what it printed."""
        command = [sys.executable, program]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def running(self, program: str) -> Iterator[Callable[[Callable[[], bool]], None]]:
        """Run a program until the block ends: then SIGINT must make it return, with success."""
        log = self.folder / f"{program}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, program], cwd=self.folder, stdout=output, stderr=output
            )

        def wait_until(seen: Callable[[], bool]) -> None:
            deadline = time.monotonic() + SECONDS
            while not seen():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.02)

        try:
            yield wait_until
            process.send_signal(signal.SIGINT)
            assert process.wait(SECONDS) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()

    def ledger(self) -> Counter[tuple[str, int]]:
        return Counter((row["item"], row["quantity"]) for row in self.database["ledger"].find())

    def position(self) -> int:
        row = self.database["eoconsumer_offsets"].find_one({"_id.partition": 0})
        return row["next_offset"] if row else 0


@pytest.fixture
def shop(
    tmp_path: Path, kafka_broker: KafkaBroker, mongo_replica_set: MongoReplicaSet
) -> Iterator[Shop]:
    with MongoClient[Any](mongo_replica_set.url) as client:
        made = Shop(tmp_path, kafka_broker, mongo_replica_set, client)
        yield made
        client.drop_database(made.database.name)


@pytest.fixture
def filled(shop: Shop) -> Shop:
    shop.produce([json.dumps({"item": i, "quantity": q}).encode() for i, q in MOVES])
    return shop


@pytest.mark.parametrize(
    "program",
    [
        "ledger.py",
        "decorated.py",
        "bulk.py",
        "idempotent.py",
        "thread.py",
        "web.py",
        "async_ledger.py",
        "async_web.py",
        "motor_ledger.py",
    ],
)
@pytest.mark.slow
def test_a_consumer_of_the_documents_keeps_the_ledger(filled: Shop, program: str) -> None:
    with filled.running(program) as wait_until:
        wait_until(lambda: filled.position() == len(MOVES))
    assert filled.ledger() == LEDGER


@pytest.mark.parametrize("program", ["ledger.py", "bulk.py"])
@pytest.mark.slow
def test_the_stock_follows_in_the_same_transaction(filled: Shop, program: str) -> None:
    with filled.running(program) as wait_until:
        wait_until(lambda: filled.position() == len(MOVES))
    expected: Counter[str] = Counter()
    for item, quantity in LEDGER.elements():
        expected[item] += quantity
    stock = {row["_id"]: row["quantity"] for row in filled.database["stock"].find()}
    assert stock == dict(expected)


@pytest.mark.slow
def test_the_tutorial_ends_with_what_it_shows(shop: Shop) -> None:
    shop.run("produce.py")
    with shop.running("ledger.py") as wait_until:
        wait_until(lambda: shop.database["ledger"].count_documents({}) == 1000)
        wait_until(lambda: shop.database["eoconsumer_offsets"].count_documents({}) == 5)
    shown = markdown.ROOT.joinpath("docs", "tutorial.md").read_text("utf-8")
    assert f"```text\n{shop.run('look.py')}```" in shown


@pytest.mark.slow
def test_a_bad_message_is_buried_and_the_others_are_kept(shop: Shop) -> None:
    shop.produce(
        [b'{"item": "tea", "quantity": 1}', b"not JSON", b'{"item": "tea", "quantity": 2}']
    )
    with shop.running("poison.py") as wait_until:
        wait_until(lambda: shop.position() == 3)
    assert shop.ledger() == Counter({("tea", 1): 1, ("tea", 2): 1})
    letters = shop.run("letters.py")
    assert letters.startswith(f"{shop.topic}[0]@1: ")
    assert letters.endswith("DecodeError, b'not JSON'\n")
    assert shop.run("redrive.py") == f"0 applied, 1 stayed\n{shop.topic}[0]@1: DecodeError\n"


@pytest.mark.slow
@pytest.mark.requirement("S3-10")
def test_a_group_goes_on_where_its_consumer_of_before_stopped(filled: Shop) -> None:
    settings = {"bootstrap.servers": filled.kafka.bootstrap_servers, "group.id": filled.topic}
    before = Consumer(settings)
    before.commit(offsets=[TopicPartition(filled.topic, 0, 200)], asynchronous=False)
    before.close()
    with filled.running("move_over.py") as wait_until:
        wait_until(lambda: filled.position() == len(MOVES))
    rest = Counter(MOVES[200:])
    assert filled.ledger() == rest


@pytest.mark.slow
def test_hooks_count_what_was_committed(shop: Shop) -> None:
    shop.run("produce.py")
    shop.run("metrics.py")


@pytest.mark.slow
def test_a_decoder_of_ones_own_sees_the_whole_message(filled: Shop) -> None:
    with filled.running("decoding.py") as wait_until:
        wait_until(lambda: filled.position() == len(MOVES))
    sources = sorted(row["source"] for row in filled.database["ledger"].find())
    assert sources == list(range(len(MOVES)))


@pytest.mark.slow
def test_the_settings_that_the_documents_show_are_accepted(shop: Shop) -> None:
    shop.run("settings.py")
