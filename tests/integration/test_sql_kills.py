"""Workers on SQL databases that are killed or stopped at every point of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from conftest import Start
from sql_cases import SERVERS, crash, empty_database
from sql_trial import SQLTrial
from trial import PATIENT, QUICK, Fill, Verdict, keys_out_of_order
from worker import Worker

from eoconsumer.servers import KafkaBroker, PostgresServer
from eoconsumer.testing.plugin import TopicFactory

pytestmark = pytest.mark.slow

COUNT = 240
THREADS: dict[str, object] = {}
ASYNCIO = {"asyncio": "sqlalchemy"}
#: In the handler, between its writes and the commit, and right after the commit.
KILLS = [
    (name, point, THREADS)
    for name in ("postgres_server", "sqlite")
    for point in ("written", "advanced", "committed")
] + [
    ("mariadb_server", "advanced", THREADS),
    ("postgres_server", "advanced", ASYNCIO),
    ("mariadb_server", "committed", ASYNCIO),
    ("sqlite", "written", ASYNCIO),
]
#: A writer that is stopped in SQLite stops all others.
STOPS = [
    ("postgres_server", "written", THREADS),
    ("postgres_server", "advanced", THREADS),
    ("mariadb_server", "advanced", THREADS),
    ("postgres_server", "advanced", ASYNCIO),
]
#: Where a reader with so many lanes is killed, and how many the next one has.
LANE_KILLS = [
    ("postgres_server", "written", 4, 4, THREADS),
    ("postgres_server", "advanced", 4, 3, THREADS),
    ("postgres_server", "committed", 4, 0, THREADS),
    ("mariadb_server", "advanced", 4, 4, THREADS),
    ("sqlite", "advanced", 4, 3, THREADS),
    ("postgres_server", "advanced", 4, 4, ASYNCIO),
    ("mariadb_server", "written", 4, 3, ASYNCIO),
    ("sqlite", "committed", 4, 0, ASYNCIO),
]
#: Seconds from Kafka's assignment to the first commit: a claim that has to end a former owner.
TAKE_OVER = 40.0


@pytest.fixture
def trial(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SQLTrial]:
    """An empty database on one of the servers."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/shop.db"
    else:
        url = empty_database(request.getfixturevalue(request.param))
    found = SQLTrial(url)
    yield found
    found.engine.dispose()


@pytest.fixture
def sql_start(kafka_broker: KafkaBroker, trial: SQLTrial, tmp_path: Path) -> Iterator[Start]:
    """Start worker processes on the database of the trial."""
    yield from started(kafka_broker, trial, tmp_path)


def started(broker: KafkaBroker, trial: SQLTrial, folder: Path) -> Iterator[Start]:
    workers: list[Worker] = []

    def launch(topic: str, told: object = None, /, **settings: object) -> Worker:
        settings = {"topics": [topic], "group": topic, "kafka": QUICK} | settings
        workers.append(
            Worker(
                folder / f"worker-{len(workers)}.log",
                bootstrap=broker.bootstrap_servers,
                store=trial.url,
                settings=settings,
                **(told or {}),  # type: ignore[dict-item]  # a mapping, as in conftest.py
            )
        )
        return workers[-1]

    yield launch
    for worker in workers:
        worker.kill()
        print(worker.told)  # noqa: T201 - pytest shows it where the test failed


@pytest.mark.requirement("S3-06", "S3-07", "N14")
@pytest.mark.parametrize(("trial", "point", "kind"), KILLS, indirect=["trial"])
def test_exactly_once_has_each_effect_once_after_a_kill(
    point: str,
    kind: dict[str, object],
    sql_start: Start,
    fill: Fill,
    topic_factory: TopicFactory,
    trial: SQLTrial,
) -> None:
    topic = topic_factory(partitions=3)
    produced = fill(topic, COUNT)
    kill = {"point": point, "after": 120, "do": "kill"}
    first = sql_start(topic, kind | kill, batch_size=50, readers=1)
    first.wait_until_killed()
    seen, stored = trial.effects, trial.positions
    assert set(seen) == {(p, o) for p, o in produced if o < stored.get(p, 0)}
    assert set(seen.values()) <= {1}
    if point == "committed":
        assert set(first.handled) == set(seen)

    second = sql_start(topic, kind, kafka=PATIENT)
    trial.wait_until_done(produced)
    second.stop()

    assert trial.verdict(produced) == Verdict()
    assert sorted(second.handled) == sorted(set(produced) - set(seen))


@pytest.mark.requirement("S3-13", "N1")
@pytest.mark.parametrize(("trial", "point", "kind"), STOPS, indirect=["trial"])
def test_a_zombie_is_fenced_doubles_nothing_and_lives_on(
    point: str,
    kind: dict[str, object],
    sql_start: Start,
    fill: Fill,
    topic: str,
    trial: SQLTrial,
) -> None:
    produced = fill(topic, 200)
    stop = {"point": point, "after": 60, "do": "stop"}
    zombie = sql_start(topic, kind | stop, readers=1, batch_size=40)
    zombie.wait_until_stopped(point)

    owner = sql_start(topic, readers=1)
    asked = owner.wait_for("claiming")["at"]
    assert owner.wait_for("settled")["at"] - asked < TAKE_OVER
    trial.wait_until_done(produced)

    woken = zombie.resume()
    more = fill(topic, 40)
    trial.wait_until_done(more)
    owner.stop()
    last = fill(topic, 40)
    trial.wait_until_done(last)
    zombie.stop()

    assert trial.verdict(produced + more + last) == Verdict()
    settled = zombie.heard("settled", since=woken)
    assert settled[-1]["upto"] == {"0": 280}, "it did not go on consuming"
    assert zombie.heard("restarted") == []
    if point != "committed":
        assert zombie.heard("fenced", since=woken) or zombie.heard("store retry", since=woken)


@pytest.mark.requirement("S3-06", "S3-07", "N2", "N14")
@pytest.mark.parametrize(
    ("trial", "point", "before", "after", "kind"), LANE_KILLS, indirect=["trial"]
)
def test_after_a_kill_of_lanes_each_message_is_there_once_and_its_key_in_order(
    point: str,
    before: int,
    after: int,
    kind: dict[str, object],
    sql_start: Start,
    fill: Fill,
    topic: str,
    trial: SQLTrial,
) -> None:
    produced = fill(topic, COUNT)
    kill = {"point": point, "after": 120, "do": "kill"}
    sql_start(topic, kind | kill, lanes=before, batch_size=20, readers=1).wait_until_killed()

    second = sql_start(topic, kind, lanes=after, readers=1)
    trial.wait_until_done(produced)
    second.stop()

    seen = trial.verdict(produced)
    assert (seen.lost, seen.doubled) == (0, 0)
    assert keys_out_of_order(trial.done) == {}
    assert trial.numbers_of_lanes == {before, after} - {0}
    assert len(second.handled) < COUNT, "nothing was done before the kill"


@pytest.mark.requirement("S3-13", "N1", "N2")
@pytest.mark.parametrize("trial", SERVERS[:1], indirect=True)
def test_a_zombie_with_lanes_is_fenced_in_all_of_them_and_lives_on(
    sql_start: Start, fill: Fill, topic: str, trial: SQLTrial
) -> None:
    produced = fill(topic, COUNT)
    told = {"point": "advanced", "after": 60, "do": "stop"}
    zombie = sql_start(topic, told, lanes=4, readers=1, batch_size=10)
    zombie.wait_until_stopped("advanced")

    owner = sql_start(topic, lanes=3, readers=1)
    trial.wait_until_done(produced)
    zombie.resume()
    owner.stop()
    last = fill(topic, 40)
    trial.wait_until_done(produced + last)
    zombie.stop()

    seen = trial.verdict(produced + last)
    assert (seen.lost, seen.doubled) == (0, 0)
    assert zombie.heard("restarted") == []


@pytest.mark.requirement("S3-02")
@pytest.mark.parametrize("trial", SERVERS[:1], indirect=True)
@pytest.mark.parametrize("mode", ["at_least_once", "at_most_once"])
def test_a_kill_repeats_or_loses_what_the_mode_says(
    mode: str, sql_start: Start, fill: Fill, topic: str, trial: SQLTrial
) -> None:
    produced = fill(topic, COUNT)
    settings = {"mode": mode, "commit_batch": 20, "readers": 1}
    first = sql_start(topic, {"point": "written", "after": 90, "do": "kill"}, **settings)
    first.wait_until_killed()

    second = sql_start(topic, **settings)
    trial.wait_until_done(produced)
    second.stop()

    result = trial.verdict(produced)
    if mode == "at_least_once":
        assert (result.lost, result.doubled <= 20) == (0, True)
    else:
        assert (result.lost <= 20, result.doubled) == (True, 0)


@pytest.mark.requirement("N3", "N14")
def test_consumers_live_through_restarts_of_postgresql(
    kafka_broker: KafkaBroker, fill: Fill, topic_factory: TopicFactory, tmp_path: Path
) -> None:
    topic = topic_factory(partitions=3)
    with PostgresServer() as server:
        trial = SQLTrial(server.url)
        with_workers = started(kafka_broker, trial, tmp_path)
        start = next(with_workers)
        produced = fill(topic, COUNT)
        worker = start(topic, {"slow": 0.005}, readers=2, batch_size=20)
        settled = 0
        for end in (partial(crash, server), partial(server.terminate, 10)):
            worker.wait_for("settled", settled + 2)
            end()
            server.start()
            settled = len(worker.heard("settled"))
            produced += fill(topic, COUNT)
        trial.wait_until_done(produced)
        worker.stop()
        assert trial.verdict(produced) == Verdict()
        assert worker.heard("store retry") or worker.heard("in doubt")
        next(with_workers, None)
        trial.engine.dispose()
