"""The stock ledger on a real broker and real databases."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient
from sql_cases import empty_database
from stock_ledger.books import Books
from stock_ledger.books_mongo import connect
from stock_ledger.check import check
from stock_ledger.documents import BizDoc
from stock_ledger.generate import documents, produce
from stock_ledger.ledger import Entries, Source, expand
from stock_ledger.opening import open_books
from stock_ledger.topic import TopicReader

from eoconsumer.servers import KafkaBroker, MongoReplicaSet
from eoconsumer.testing.plugin import TopicFactory

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"
COUNT = 300
everywhere = pytest.mark.parametrize(
    "url", ["mongodb", "postgres_server", "mariadb_server", "sqlite"], indirect=True
)


@pytest.fixture(scope="module")
def bootstrap(kafka_broker: KafkaBroker) -> str:
    return kafka_broker.bootstrap_servers


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database: in MongoDB, or where the test is marked so."""
    kind, name = getattr(request, "param", "mongodb"), f"ledger_{uuid4().hex[:12]}"
    if kind == "sqlite":
        yield f"sqlite:///{tmp_path}/{name}.db"
    elif kind == "mongodb":
        replica_set: MongoReplicaSet = request.getfixturevalue("mongo_replica_set")
        yield replica_set.url_for(name)
        with MongoClient[Any](replica_set.url) as client:
            # A killed worker's transaction would hold its collections for a minute.
            client.admin.command("killAllSessions", [])
            client.drop_database(name)
    else:
        yield empty_database(request.getfixturevalue(kind))


@pytest.fixture
def books(url: str) -> Books[Any]:
    opened = open_books(url)
    opened.setup()
    return opened


@pytest.fixture
def filled(topic_factory: TopicFactory, bootstrap: str) -> str:
    name = topic_factory(partitions=2)
    produce(bootstrap, name, documents(COUNT, seed=5))
    return name


def work_of(bootstrap: str, topic: str) -> dict[int, list[Entries]]:
    with TopicReader(bootstrap, topic) as reader:
        return {
            partition: [
                expand(
                    BizDoc.model_validate_json(message.value() or b""),
                    Source(topic, partition, message.offset() or 0),
                    handled_at=message.offset() or 0,
                )
                for message in reader.messages(partition)
            ]
            for partition in reader.ends()
        }


def keep(books: Books[Any], work: dict[int, list[Entries]]) -> None:
    for partition, entries in work.items():
        books.write(entries)
        books.catch_up(entries[0].ledger[0]["topic"], partition)


@everywhere
def test_check_agrees_when_every_document_was_written_once(
    books: Books[Any], bootstrap: str, filled: str
) -> None:
    keep(books, work_of(bootstrap, filled))
    report = check(books, bootstrap, filled, group="none")
    assert report.agree
    assert (report.produced, report.applied) == (COUNT, COUNT)


def lose(work: list[Entries]) -> None:
    del work[10]


def repeat(work: list[Entries]) -> None:
    ledger, payables = work[10]
    work.insert(12, Entries([row.copy() for row in ledger], [row.copy() for row in payables]))


def tear(work: list[Entries]) -> None:
    torn = next(entry for entry in work if len(entry.ledger) > 1)
    del torn.ledger[-1]


def forget_payable(work: list[Entries]) -> None:
    next(entry for entry in work if entry.payables).payables.clear()


def reorder(work: list[Entries]) -> None:
    for row in (*work[10].ledger, *work[10].payables):
        row["handled_at"] = 0


def falsify(work: list[Entries]) -> None:
    work[10].ledger[0]["quantity"] += 1


@everywhere
@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (lose, {"lost": 1, "applied": COUNT - 1, "stock_correct": False}),
        (repeat, {"duplicated": 1, "applied": COUNT, "stock_correct": False}),
        (tear, {"torn": 1, "applied": COUNT - 1, "stock_correct": False}),
        (forget_payable, {"torn": 1, "stock_correct": True}),
        (reorder, {"out_of_order": 1, "stock_correct": True}),
        (falsify, {"unknown_rows": 1, "applied": COUNT - 1, "stock_correct": False}),
    ],
)
def test_check_names_what_is_wrong_with_the_ledger(
    books: Books[Any],
    bootstrap: str,
    filled: str,
    harm: Callable[[list[Entries]], None],
    found: dict[str, Any],
) -> None:
    work = work_of(bootstrap, filled)
    harm(work[0])
    keep(books, work)
    report = check(books, bootstrap, filled, group="none")
    assert not report.agree
    assert report.figures() | found == report.figures()
    assert report.follows_ledger


@everywhere
def test_check_sees_stages_that_lag_and_rebuild_brings_them_up(
    books: Books[Any], bootstrap: str, filled: str
) -> None:
    for entries in work_of(bootstrap, filled).values():
        books.write(entries)
    report = check(books, bootstrap, filled, group="none")
    assert (report.applied, report.follows_ledger, report.agree) == (COUNT, False, False)
    assert books.rebuild(filled) > 0
    assert check(books, bootstrap, filled, group="none").agree


@everywhere
@pytest.mark.requirement("S3-23")
def test_a_rebuild_gives_the_values_that_the_stages_reached_step_by_step(
    books: Books[Any], bootstrap: str, filled: str
) -> None:
    for partition, entries in work_of(bootstrap, filled).items():
        for start in range(0, len(entries), 17):
            books.write(entries[start : start + 17])
            books.catch_up(filled, partition, handled_from=start)
    assert books.derived().stock
    assert books.rebuild(filled) == 0


@everywhere
@pytest.mark.requirement("S3-23")
def test_a_stage_that_a_crash_missed_is_made_up_by_the_next(
    books: Books[Any], bootstrap: str, filled: str
) -> None:
    entries = work_of(bootstrap, filled)[0]
    books.write(entries[:20])
    books.write(entries[20:40])
    books.catch_up(filled, 0, handled_from=20)
    assert books.rebuild(filled) == 0


@everywhere
def test_the_stages_follow_a_ledger_in_which_messages_came_again(
    books: Books[Any], bootstrap: str, filled: str
) -> None:
    for start, end in ((0, 40), (25, 60)):
        books.write(work_of(bootstrap, filled)[0][start:end])
        books.catch_up(filled, 0, handled_from=start)
    assert books.rebuild(filled) == 0


@everywhere
def test_stages_of_two_workers_at_once_fold_no_row_twice(
    books: Books[Any], bootstrap: str, filled: str
) -> None:
    books.write(work_of(bootstrap, filled)[0])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: books.catch_up(filled, 0), range(4)))
    assert books.rebuild(filled) == 0


@pytest.mark.requirement("S3-23")
def test_stages_that_a_killed_worker_left_open_do_not_hold_up_the_next(
    books: Books[Any], url: str, bootstrap: str, filled: str
) -> None:
    keep(books, work_of(bootstrap, filled))
    database = connect(url)
    place = {"_id": f"{filled}/0"}
    with database.client.start_session() as dead:
        database["stage_sessions"].replace_one(
            place, {"worker": "dead", "lsid": dead.session_id}, upsert=True
        )
        dead.start_transaction()
        database["stages"].update_one(place, {"$set": {"next_offset": 5}}, session=dead)
        began = time.monotonic()
        books.take_over(filled, 0)
        books.catch_up(filled, 0, handled_from=0)
    assert time.monotonic() - began < 30  # the server would keep it open for 60 s
    assert check(books, bootstrap, filled, group="none").agree
    database.client.close()


def stock_ledger(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stock_ledger", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES)},
    )


class Shop:
    """A topic and a database, worked on by command line as a user would."""

    def __init__(self, bootstrap: str, url: str, topic: str, marks: Path) -> None:
        self._kafka = ("-b", bootstrap, "--topic", topic)
        self._store = ("--store", url)
        self._marks = marks
        self.topic = topic

    def generate(self, count: int) -> None:
        made = stock_ledger("generate", *self._kafka, "-n", str(count), "--partitions", "4")
        assert made.returncode == 0, made.stderr

    def run(self, mode: str, *crashes: str) -> int:
        """Run to the end of the topic, again after each crash; return how often it was killed."""
        points = [part for crash in crashes for part in ("--crash-at", crash)]
        for kills in range(len(crashes) + 1):
            done = stock_ledger(
                *("run", *self._kafka, *self._store, "--mode", mode, "--until-end"),
                # With two, one may kill the process when the other has passed its point by its
                # commit and not yet in its stages: that point would never strike.
                *("--readers", "1"),
                *("--kafka", "session.timeout.ms=1500", "--kafka", "heartbeat.interval.ms=300"),
                *("--crash-marks", str(self._marks), *points),
            )
            if done.returncode == 0:
                return kills
            assert done.returncode == -9, done.stderr
        raise AssertionError("it was killed more often than there are crash points")

    def check(self) -> tuple[int, dict[str, Any]]:
        done = stock_ledger("check", *self._kafka, *self._store, "--json")
        return done.returncode, json.loads(done.stdout)

    def rebuild(self) -> str:
        return stock_ledger("rebuild", *self._store, "--topic", self.topic).stdout


CRASHES = ("0:120:in-handler", "1:200:after-commit", "2:250:in-handler")


@pytest.fixture
def shop(bootstrap: str, url: str, tmp_path: Path) -> Shop:
    made = Shop(bootstrap, url, f"stock-documents-{uuid4().hex[:8]}", tmp_path)
    made.generate(2_000)
    return made


@pytest.mark.requirement("S3-21", "S3-23")
def test_exactly_once_leaves_ledger_stock_cost_and_topic_in_agreement(shop: Shop) -> None:
    assert shop.run("exactly-once") == 0
    code, report = shop.check()
    assert (code, report["agree"], report["applied"]) == (0, True, 2_000)
    assert report["positions"] == report["ends"]
    assert "; 0 came out different" in shop.rebuild()


@everywhere
@pytest.mark.requirement("S3-21", "S3-23", "S3-26", "N14")
def test_exactly_once_loses_and_doubles_nothing_when_it_is_killed(shop: Shop) -> None:
    assert shop.run("exactly-once", *CRASHES) == len(CRASHES)
    code, report = shop.check()
    assert (code, report["agree"], report["applied"]) == (0, True, 2_000)


@pytest.mark.requirement("S3-26")
def test_at_least_once_doubles_but_loses_nothing_when_it_is_killed(shop: Shop) -> None:
    assert shop.run("at-least-once", *CRASHES) == len(CRASHES)
    code, report = shop.check()
    assert (code, report["lost"], report["torn"], report["applied"]) == (3, 0, 0, 2_000)
    assert report["duplicated"] > 0
    assert not report["stock_correct"]
    assert report["follows_ledger"]


@pytest.mark.requirement("S3-26")
def test_at_most_once_loses_but_doubles_nothing_when_it_is_killed(shop: Shop) -> None:
    assert shop.run("at-most-once", *CRASHES) > 0
    code, report = shop.check()
    assert (code, report["duplicated"]) == (3, 0)
    assert report["lost"] > 0
    assert not report["stock_correct"]
    assert report["follows_ledger"]


@pytest.mark.requirement("S3-01")
def test_auto_commit_is_wrong_when_it_is_killed(shop: Shop) -> None:
    assert shop.run("auto-commit", *CRASHES) == len(CRASHES)
    code, report = shop.check()
    assert code == 3
    assert report["lost"] + report["duplicated"] > 0
    assert not report["stock_correct"]
