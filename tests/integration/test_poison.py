"""A bad message in the middle of a batch: stop, skip or bury it, and what goes on meanwhile."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from confluent_kafka import Producer
from counting import Counting, Each, Runs
from mongo_stores import failing
from pymongo.database import Database
from trial import DEADLINE, Document, Fill, Place, Verdict, effects, positions, verdict

from eoconsumer import Message, RetryPolicy
from eoconsumer.errors import DecodeError, HandlerFailed
from eoconsumer.servers import KafkaBroker
from eoconsumer.stores.mongo import MongoStore
from eoconsumer.testing.plugin import TopicFactory

pytestmark = pytest.mark.slow

BAD = (0, 7)
VALUE, KEY = b"\xff\x00no json", b"\xfe"
#: Three tries within a moment.
BRISK = RetryPolicy(attempts=3, minimum=0.01, maximum=0.05)
forms = pytest.mark.parametrize("form", [Each, Runs])


class Poison(Exception):  # noqa: N818 - it is not the test's error
    """What the handler raises at the bad message."""


def fail(message: Message) -> None:
    if (message.partition, message.offset) == BAD:
        raise Poison("it cannot be done")


@pytest.fixture
def topic(topic_factory: TopicFactory) -> str:
    return topic_factory(partitions=2)


@pytest.fixture
def produced(kafka_broker: KafkaBroker, fill: Fill, topic: str) -> list[Place]:
    """Twenty messages for each partition, more or less; the one at ``BAD`` is no JSON."""
    places = fill(topic, 14)
    producer = Producer({"bootstrap.servers": kafka_broker.bootstrap_servers})
    headers: list[tuple[str, str | bytes | None]] = [("why", b"\xfd"), ("none", None)]
    producer.produce(topic, VALUE, KEY, partition=0, headers=headers)
    assert producer.flush(DEADLINE) == 0
    return sorted([*places, BAD, *fill(topic, 26)])


@pytest.fixture
def good(produced: list[Place]) -> list[Place]:
    return [place for place in produced if place != BAD]


@pytest.mark.requirement("S3-24")
@forms
@pytest.mark.parametrize("undecodable", [False, True])
def test_stop_names_the_message_and_commits_what_stands_before_it(
    form: type[Counting],
    undecodable: bool,
    kafka_broker: KafkaBroker,
    store: MongoStore,
    topic: str,
    produced: list[Place],
    database: Database[Document],
) -> None:
    class Strict(form):  # type: ignore[valid-type, misc]  # made for each form
        value_type = dict[str, int] if undecodable else None

    before = (lambda _: None) if undecodable else fail
    consumer = Strict(kafka_broker.bootstrap_servers, store, topic, before, retry=BRISK)
    wanted = DecodeError if undecodable else HandlerFailed
    with pytest.raises(wanted, match=rf"{topic}\[0\]@7") as stopped:
        consumer.run_to_the_end(produced)

    if not undecodable:
        assert isinstance(stopped.value.__cause__, Poison)
        assert consumer.calls[BAD] >= BRISK.attempts
    assert positions(database)[0] == 7
    seen = effects(database)
    assert {offset for partition, offset in seen if partition == 0} == set(range(7))
    assert set(seen.values()) == {1}


@pytest.mark.requirement("S3-24")
@forms
@pytest.mark.parametrize("mode", ["exactly_once", "at_least_once", "at_most_once"])
def test_skip_passes_over_the_bad_message_and_no_other(
    form: type[Counting],
    mode: str,
    kafka_broker: KafkaBroker,
    store: MongoStore,
    topic: str,
    produced: list[Place],
    good: list[Place],
    database: Database[Document],
) -> None:
    settings = {"on_poison": "skip", "retry": BRISK, "mode": mode, "commit_batch": 2}
    consumer = form(kafka_broker.bootstrap_servers, store, topic, fail, **settings)
    seen = consumer.run_to_the_end(produced)

    result = verdict(database, good)
    assert result.doubled == result.out_of_order == 0
    # At most once, what a handler of runs had in hand with it is given up as well.
    given_up = mode == "at_most_once" and form is Runs
    assert result.lost == seen.skipped - 1 if given_up else result.lost == 0
    assert seen.skipped >= 1


@pytest.mark.requirement("S3-24")
@forms
@pytest.mark.parametrize("undecodable", [False, True])
def test_bury_keeps_all_of_the_bad_message_and_what_is_known_of_the_error(
    form: type[Counting],
    undecodable: bool,
    kafka_broker: KafkaBroker,
    store: MongoStore,
    topic: str,
    produced: list[Place],
    good: list[Place],
    database: Database[Document],
) -> None:
    class Strict(form):  # type: ignore[valid-type, misc]  # made for each form
        value_type = dict[str, int] if undecodable else None

    before = (lambda _: None) if undecodable else fail
    settings = {"on_poison": "bury", "retry": BRISK}
    consumer = Strict(kafka_broker.bootstrap_servers, store, topic, before, **settings)
    seen = consumer.run_to_the_end(produced)

    assert verdict(database, good) == Verdict()
    assert seen.buried == 1
    (letter,) = database["eoconsumer_dead_letters"].find()
    assert (letter["group"], letter["topic"]) == (topic, topic)
    assert (letter["partition"], letter["offset"]) == BAD
    assert letter["value"] == b64encode(VALUE).decode()
    assert letter["key"] == b64encode(KEY).decode()
    assert letter["headers"] == [["why", b64encode(b"\xfd").decode()], ["none", None]]
    assert letter["error"]["type"].endswith("DecodeError" if undecodable else "Poison")
    assert letter["attempts"] == (1 if undecodable else 3)
    if undecodable:
        assert "could not be decoded" in letter["error"]["text"]
        assert "caused by ValidationError: 1 validation error" in letter["error"]["text"]
    else:
        assert letter["error"]["text"] == "it cannot be done"
        assert "raise Poison" in letter["error"]["traceback"]


@pytest.mark.requirement("S3-02")
def test_at_least_once_loses_nothing_of_a_run_in_whose_middle_the_decoding_failed(
    kafka_broker: KafkaBroker,
    store: MongoStore,
    topic: str,
    produced: list[Place],
    good: list[Place],
    database: Database[Document],
) -> None:
    class Strict(Runs):
        value_type = dict[str, int]

        def write(self, messages: Sequence[Message], session: Any) -> None:
            values = [message.value for message in messages]  # before anything is written
            assert len(values) == len(messages)
            super().write(messages, session)

    settings = {"on_poison": "bury", "mode": "at_least_once", "retry": BRISK}
    consumer = Strict(kafka_broker.bootstrap_servers, store, topic, **settings)
    seen = consumer.run_to_the_end(produced)

    assert (verdict(database, good).lost, seen.buried) == (0, 1)


@pytest.mark.requirement("S3-06", "S3-24")
@forms
def test_a_dead_letter_is_there_once_when_its_transaction_runs_again(
    form: type[Counting],
    kafka_broker: KafkaBroker,
    store: MongoStore,
    topic: str,
    produced: list[Place],
    good: list[Place],
    database: Database[Document],
) -> None:
    def fail_and_let_the_commits_fail(message: Message) -> None:
        if (message.partition, message.offset) == BAD and consumer.calls[BAD] >= BRISK.attempts:
            faults.enter_context(commits_fail)
        fail(message)

    label = ["TransientTransactionError"]
    commits_fail = failing(store, "commitTransaction", times=2, errorCode=251, errorLabels=label)
    settings = {"on_poison": "bury", "retry": BRISK, "readers": 1}
    consumer = form(
        kafka_broker.bootstrap_servers, store, topic, fail_and_let_the_commits_fail, **settings
    )
    with ExitStack() as faults:
        seen = consumer.run_to_the_end(produced)

    assert seen.store_retries >= 2
    assert database["eoconsumer_dead_letters"].count_documents({}) == 1
    assert verdict(database, good) == Verdict()


@pytest.mark.requirement("S3-24")
@forms
def test_other_partitions_go_on_while_that_of_a_failing_message_waits(
    form: type[Counting],
    kafka_broker: KafkaBroker,
    store: MongoStore,
    topic: str,
    produced: list[Place],
    database: Database[Document],
) -> None:
    elsewhere: list[int] = []

    def fail_until_others_are_done(message: Message) -> None:
        if (message.partition, message.offset) == BAD:
            with database.client.start_session() as outside:  # not the one of the handler
                rows = database["effects"].count_documents({"partition": 1}, session=outside)
            elsewhere.append(rows)
            if rows < 20 or len(elsewhere) < 8:  # more often than a run can be halved
                raise Poison("not yet")

    patient = RetryPolicy(attempts=300, minimum=0.1, maximum=0.2)
    settings = {"retry": patient, "readers": 1}
    consumer = form(
        kafka_broker.bootstrap_servers, store, topic, fail_until_others_are_done, **settings
    )
    seen = consumer.run_to_the_end(produced)

    assert elsewhere[-1] == 20, "the other partition waited"
    assert 1 <= seen.retries < patient.attempts
    assert verdict(database, produced) == Verdict()
