"""Processes with an AsyncConsumer that are killed and stopped, and others that go on."""

from __future__ import annotations

import pytest
from conftest import Start
from pymongo.database import Database
from trial import Document, Fill, Verdict, effects, positions, verdict, wait_until_done

from eoconsumer.testing.plugin import TopicFactory

pytestmark = [pytest.mark.slow, pytest.mark.requirement("N14", "S3-06", "S3-07")]

COUNT = 240


@pytest.mark.parametrize("driver", ["pymongo", "motor"])
@pytest.mark.parametrize("point", ["written", "advanced", "committing", "committed"])
def test_exactly_once_has_each_effect_once_after_a_kill(
    point: str,
    driver: str,
    start: Start,
    fill: Fill,
    topic_factory: TopicFactory,
    database: Database[Document],
) -> None:
    topic = topic_factory(partitions=3)
    produced = fill(topic, COUNT)
    told = {"asyncio": driver}
    kill = {"point": point, "after": 120, "do": "kill"}
    first = start(topic, told | kill, batch_size=50, readers=1)
    first.wait_until_killed()
    seen, stored = effects(database), positions(database)
    assert set(seen) == {(p, o) for p, o in produced if o < stored.get(p, 0)}

    second = start(topic, told)
    wait_until_done(database, produced)
    second.stop()

    assert verdict(database, produced) == Verdict()
    assert sorted(second.handled) == sorted(set(produced) - set(seen))
