"""An owner that is stopped past its session time-out, and goes on after another took over."""

from __future__ import annotations

import pytest
from conftest import Start
from pymongo.database import Database
from trial import Document, Fill, Verdict, verdict, wait_until_done

#: Seconds from Kafka's assignment to the first commit; half of one is usual. The bound only has to
#: tell it, on a busy machine, from the minute that the server would keep the rows locked.
TAKE_OVER = 40.0


@pytest.mark.slow
@pytest.mark.requirement("S3-06", "S3-13")
@pytest.mark.parametrize(
    "point", ["handling", "written", "advancing", "advanced", "committed", "after_commit"]
)
def test_a_zombie_is_fenced_doubles_nothing_and_lives_on(
    point: str, start: Start, fill: Fill, topic: str, database: Database[Document]
) -> None:
    produced = fill(topic, 200)
    told = {"point": point, "after": 60, "do": "stop"}
    zombie = start(topic, told, readers=1, batch_size=40)
    zombie.wait_until_stopped(point)

    owner = start(topic, readers=1)
    asked = owner.wait_for("claiming")["at"]
    assert owner.wait_for("settled")["at"] - asked < TAKE_OVER
    wait_until_done(database, produced)

    woken = zombie.resume()
    more = fill(topic, 40)
    wait_until_done(database, more)
    owner.stop()
    last = fill(topic, 40)
    wait_until_done(database, last)
    zombie.stop()

    assert verdict(database, produced + more + last) == Verdict()
    settled = zombie.heard("settled", since=woken)
    assert settled[-1]["upto"] == {"0": 280}, "it did not go on consuming"
    assert zombie.heard("restarted") == []
    if point not in ("committed", "after_commit"):
        assert zombie.heard("fenced", since=woken) or zombie.heard("store retry", since=woken)


@pytest.mark.slow
@pytest.mark.requirement("S3-05")
def test_an_at_most_once_zombie_gives_up_what_it_had_not_begun(
    start: Start, fill: Fill, topic: str, database: Database[Document]
) -> None:
    produced = fill(topic, 100)
    settings = {"mode": "at_most_once", "readers": 1, "commit_batch": 10}
    zombie = start(topic, {"point": "written", "after": 35, "do": "stop"}, **settings)
    zombie.wait_until_stopped("written")

    owner = start(topic, **settings)
    wait_until_done(database, produced)
    zombie.resume()
    owner.stop()
    last = fill(topic, 20)
    wait_until_done(database, last)
    zombie.stop()

    assert not set(zombie.handled) & set(owner.handled)
    assert verdict(database, produced + last).doubled == 0


@pytest.mark.slow
@pytest.mark.requirement("S3-02")
@pytest.mark.parametrize("point", ["written", "advancing"])
def test_an_at_least_once_zombie_never_takes_the_position_back(
    point: str, start: Start, fill: Fill, topic: str, database: Database[Document]
) -> None:
    produced = fill(topic, 100)
    settings = {"mode": "at_least_once", "readers": 1, "commit_batch": 10}
    zombie = start(topic, {"point": point, "after": 35, "do": "stop"}, **settings)
    zombie.wait_until_stopped(point)

    owner = start(topic, **settings)
    wait_until_done(database, produced)
    zombie.resume()
    owner.stop()
    last = fill(topic, 20)
    wait_until_done(database, last)
    zombie.stop()

    result = verdict(database, produced + last)
    assert result.lost == 0
    assert result.doubled <= 20, "both may repeat what was not stored yet, and no more"
