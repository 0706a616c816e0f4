"""Owners that die inside an open transaction, which then holds the rows of their positions."""

from __future__ import annotations

import pytest
from conftest import Start
from pymongo.database import Database
from trial import Document, Fill, Verdict, verdict, wait_until_done

from eoconsumer.testing.plugin import TopicFactory

#: Seconds from Kafka's assignment to the first commit; half of one is usual. The bound only has to
#: tell it, on a busy machine, from the minute that the server would keep the rows locked.
TAKE_OVER = 40.0


@pytest.mark.slow
@pytest.mark.requirement("S3-07")
def test_a_transaction_left_open_by_a_killed_owner_is_cleared_in_seconds(
    start: Start, fill: Fill, topic_factory: TopicFactory, database: Database[Document]
) -> None:
    topic = topic_factory(partitions=4)
    produced = fill(topic, 400)
    former = start(topic, {"point": "advanced", "after": 100, "do": "kill"}, readers=2)
    former.wait_until_killed()

    owner = start(topic, readers=2)
    asked = owner.wait_for("claiming")["at"]
    assert owner.wait_for("settled")["at"] - asked < TAKE_OVER
    wait_until_done(database, produced)
    owner.stop()

    assert verdict(database, produced) == Verdict()
    assert "Ended the session of former owner" in owner.log.read_text()


@pytest.mark.slow
@pytest.mark.requirement("S3-07", "S3-13")
def test_a_running_consumer_takes_over_from_one_killed_in_its_transaction(
    start: Start, fill: Fill, topic_factory: TopicFactory, database: Database[Document]
) -> None:
    topic = topic_factory(partitions=4)
    produced = fill(topic, 40)
    heir = start(topic, readers=1)
    heir.wait_for("settled")
    former = start(topic, {"point": "advanced", "do": "kill"}, readers=1)
    former.wait_for("claimed")
    produced += fill(topic, 400)
    former.wait_until_killed()
    wait_until_done(database, produced)
    heir.stop()

    assert former.handled, "the killed one had nothing in its transaction"
    assert verdict(database, produced) == Verdict()
    assert heir.heard("restarted") == []
