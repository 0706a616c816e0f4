"""Processes that are killed with SIGKILL at every point of a batch, and others that go on."""

from __future__ import annotations

from random import Random

import pytest
from conftest import Start
from pymongo.database import Database
from trial import (
    PATIENT,
    Document,
    Fill,
    Verdict,
    effects,
    ends,
    eventually,
    positions,
    verdict,
    wait_until_done,
)

from eoconsumer.testing.plugin import TopicFactory

COUNT = 240
SEED = 1
BEFORE = ["handling", "written", "advancing", "advanced", "committing"]
AFTER = ["committed", "after_commit"]
#: Where there is no transaction that could commit.
OUTSIDE = ["handling", "written", "advancing", "advanced", "after_commit"]


def kill_at(point: str, after: int) -> dict[str, object]:
    return {"point": point, "after": after, "do": "kill"}


@pytest.mark.slow
@pytest.mark.requirement("S3-06", "S3-07", "S3-08", "S3-14")
@pytest.mark.parametrize("point", BEFORE + AFTER)
def test_exactly_once_has_each_effect_once_after_a_kill(
    point: str, start: Start, fill: Fill, topic_factory: TopicFactory, database: Database[Document]
) -> None:
    topic = topic_factory(partitions=3)
    produced = fill(topic, COUNT)
    first = start(topic, kill_at(point, 120), batch_size=50, readers=1)
    first.wait_until_killed()
    seen, stored = effects(database), positions(database)
    assert set(seen) == {(p, o) for p, o in produced if o < stored.get(p, 0)}
    assert set(seen.values()) <= {1}
    if point in AFTER:
        assert set(first.handled) == set(seen)

    second = start(topic, kafka=PATIENT)
    wait_until_done(database, produced)
    second.stop()

    assert verdict(database, produced) == Verdict()
    assert sorted(second.handled) == sorted(set(produced) - set(seen))
    begun = dict(reversed(second.handled))
    assert begun == {p: o for p, o in stored.items() if o < ends(produced)[p]}


@pytest.mark.slow
@pytest.mark.requirement("S3-02")
def test_at_least_once_repeats_what_was_handled_and_not_stored(
    start: Start, fill: Fill, topic: str, database: Database[Document]
) -> None:
    produced = fill(topic, COUNT)
    first = start(topic, kill_at("advancing", 100), mode="at_least_once", commit_batch=50)
    first.wait_until_killed()
    stored = positions(database)[0]
    assert set(first.handled) > set(produced[:stored])

    second = start(topic, mode="at_least_once", kafka=PATIENT)
    wait_until_done(database, produced)
    second.stop()

    assert second.handled == produced[stored:]
    assert set(effects(database)) == set(produced)


@pytest.mark.slow
@pytest.mark.requirement("S3-03")
@pytest.mark.parametrize("commit_batch", [1, 20])
def test_at_least_once_repeats_at_most_commit_batch_messages_after_a_kill(
    commit_batch: int,
    start: Start,
    fill: Fill,
    topic_factory: TopicFactory,
    database: Database[Document],
) -> None:
    topic = topic_factory(partitions=2)
    produced = fill(topic, COUNT)
    settings = {"mode": "at_least_once", "commit_batch": commit_batch, "commit_interval": 60.0}
    first = start(topic, kill_at("written", 70), **settings)
    first.wait_until_killed()

    second = start(topic, **settings, kafka=PATIENT)
    # The last positions, fewer than commit_batch messages on, are stored by the stop.
    eventually(lambda: effects(database).keys() >= set(produced))
    second.stop()
    assert positions(database) == ends(produced)

    result = verdict(database, produced)
    assert result.lost == 0
    assert 1 <= result.doubled <= commit_batch


@pytest.mark.slow
@pytest.mark.requirement("S3-05")
@pytest.mark.parametrize("point", ["handling", "written"])
def test_at_most_once_never_delivers_again_what_was_in_the_handler(
    point: str, start: Start, fill: Fill, topic: str, database: Database[Document]
) -> None:
    produced = fill(topic, COUNT)
    settings = {"mode": "at_most_once", "commit_batch": 20}
    first = start(topic, kill_at(point, 90), **settings)
    first.wait_until_killed()
    lost_at_most = [(0, offset) for offset in range(90, positions(database)[0])]
    assert len(lost_at_most) < 20

    second = start(topic, **settings, kafka=PATIENT)
    wait_until_done(database, produced)
    second.stop()

    assert not set(first.handled) & set(second.handled)
    assert set(produced) - set(first.handled) - set(second.handled) == set(lost_at_most)
    assert verdict(database, produced).doubled == 0


@pytest.mark.slow
@pytest.mark.requirement("S3-05")
def test_at_most_once_delivers_nothing_twice_across_a_rebalance_and_a_kill(
    start: Start, fill: Fill, topic_factory: TopicFactory, database: Database[Document]
) -> None:
    topic = topic_factory(partitions=4)
    produced = fill(topic, COUNT)
    settings = {"mode": "at_most_once", "commit_batch": 20}
    first = start(topic, {"slow": 0.01}, **settings)
    first.wait_for("handled", 10)
    second = start(topic, {"slow": 0.01, **kill_at("written", 40)}, **settings)
    second.wait_for("claimed")
    produced += fill(topic, COUNT)  # the first may have done all before
    second.wait_until_killed()
    wait_until_done(database, produced)
    first.stop()

    assert first.heard("revoked"), "the second worker took nothing from the first"
    assert not set(first.handled) & set(second.handled)
    result = verdict(database, produced)
    assert result.doubled == 0
    assert result.lost < 20


@pytest.mark.slow
@pytest.mark.requirement("S3-26")
@pytest.mark.parametrize(
    ("mode", "possible"),
    [("exactly_once", BEFORE + AFTER), ("at_least_once", OUTSIDE), ("at_most_once", OUTSIDE)],
    ids=["exactly_once", "at_least_once", "at_most_once"],
)
def test_random_kills_cost_each_mode_what_it_may_cost_and_no_more(
    mode: str,
    possible: list[str],
    start: Start,
    fill: Fill,
    topic_factory: TopicFactory,
    database: Database[Document],
) -> None:
    chance = Random(SEED)
    topic = topic_factory(partitions=4)
    produced = fill(topic, 2 * COUNT)
    settings = {"mode": mode, "batch_size": 40, "commit_batch": 20}
    for _ in range(3):
        start(
            topic, kill_at(chance.choice(possible), chance.randint(1, 80)), **settings
        ).wait_until_killed()
    last = start(topic, **settings)
    wait_until_done(database, produced)
    last.stop()

    result = verdict(database, produced)
    assert result.lost <= (3 * 20 if mode == "at_most_once" else 0)
    assert result.doubled <= (3 * 20 if mode == "at_least_once" else 0)
    assert result.out_of_order == 0 or mode == "at_least_once"
