"""A position belongs to one topic of one cluster, and lies in its log: else nothing is handled."""

from __future__ import annotations

import re
from typing import Any

import pytest
from bson.int64 import Int64
from confluent_kafka import KafkaException, Producer
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient
from consuming import Keep, claimed, committed, kept, places, positions, rows, running, within
from pymongo.database import Database
from trial import Document, Fill, eventually
from typer.testing import CliRunner

from eoconsumer import Consumer, Events
from eoconsumer.cli.app import app
from eoconsumer.core.positions import Identity, Start
from eoconsumer.errors import (
    ClusterChanged,
    LogTruncated,
    OffsetOutOfRange,
    PositionError,
    TopicGone,
    TopicRecreated,
)
from eoconsumer.message import TopicPartition
from eoconsumer.servers import KafkaBroker
from eoconsumer.stores.memory import MemoryStore, Row
from eoconsumer.stores.mongo import MongoStore

pytestmark = pytest.mark.slow

INTERVAL = 0.5  # seconds between two looks of a running consumer, in these tests


class Lost(Events):
    """Remembers what was passed over."""

    def __init__(self) -> None:
        self.missing: list[int] = []
        self.restarted_at: list[int] = []

    def data_lost(self, *, missing: int, **_: Any) -> None:  # type: ignore[override]
        self.missing.append(missing)

    def identity_changed(self, *, position: int, **_: Any) -> None:  # type: ignore[override]
        self.restarted_at.append(position)


class Topic:
    """One topic with one partition, and its consumers; the group has its name."""

    def __init__(self, broker: KafkaBroker, name: str, fill: Fill) -> None:
        self.broker, self.name, self.store = broker, name, MemoryStore()
        self.fill = lambda n: fill(name, n)
        self.events = Lost()
        self.admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})

    def consumer(self, **settings: Any) -> Keep:
        ours = {"topics": [self.name], "group": self.name, "identity_interval": INTERVAL}
        settings = ours | {"events": self.events} | settings
        return Keep(self.broker.bootstrap_servers, self.store, **settings)

    def consume(self, messages: int) -> None:
        """Produce and handle ``messages``; the consumer that did it is down afterwards."""
        self.fill(messages)
        self.consumer().run_until(committed(messages))
        self.store.tables.clear()

    def recreate(self) -> None:
        """Delete the topic and create it anew, as soon as the broker lets us."""
        self.broker.delete_topic(self.name)

        def created() -> bool:
            try:
                self.broker.create_topic(self.name)
            except KafkaException:
                return False
            return True

        eventually(created)

    def drop_before(self, offset: int) -> None:
        """Delete the messages before ``offset``, as retention does."""
        place = KafkaPartition(self.name, 0, offset)
        self.admin.delete_records([place])[place].result()

    @property
    def row(self) -> Row:
        [row] = rows(self.store, self.name).values()
        return row

    @property
    def handled(self) -> list[int]:
        return [offset for _, offset in places(kept(self.store))]


@pytest.fixture
def here(kafka_broker: KafkaBroker, topic: str, fill: Fill) -> Topic:
    return Topic(kafka_broker, topic, fill)


def refused(here: Topic, error: type[PositionError], **settings: Any) -> PositionError:
    """Run a consumer that must stop with ``error`` and handle nothing."""
    with pytest.raises(error) as stopped:
        here.consumer(**settings).run_until(committed(1))
    assert here.handled == []
    assert stopped.value.partition == (here.name, 0)
    return stopped.value


# --- another topic, another cluster -----------------------------------------------------------


@pytest.mark.requirement("N6")
def test_a_topic_that_was_created_anew_is_refused_and_not_one_message_is_handled(
    here: Topic,
) -> None:
    here.consume(100)
    before = here.row.identity.topic_id
    here.recreate()
    here.fill(150)

    error = refused(here, TopicRecreated)

    assert here.row.next_offset == 100
    assert before is not None
    assert before in str(error)
    command = f"eoconsumer offsets reset --group {here.name} --topic {here.name} --to-earliest"
    assert f"{command} --execute" in str(error)


@pytest.mark.requirement("N6")
def test_with_positions_in_kafka_a_topic_created_anew_while_nobody_runs_is_refused(
    here: Topic,
) -> None:
    in_kafka = {"positions": "kafka", "mode": "at_least_once"}
    here.fill(20)
    here.consumer(**in_kafka).run_until(committed(20))
    here.store.tables.clear()
    here.recreate()
    here.fill(30)

    refused(here, TopicRecreated, **in_kafka)

    here.consumer(**in_kafka, on_identity_change="restart").run_until(committed(30))
    assert here.handled == list(range(30))


@pytest.mark.requirement("N6")
def test_with_restart_all_messages_of_the_new_topic_are_handled_once(here: Topic) -> None:
    here.consume(100)
    before = here.row.identity
    here.recreate()
    produced = here.fill(150)

    last = here.consumer(on_identity_change="restart").run_until(committed(150))

    assert here.handled == [offset for _, offset in produced]
    assert here.events.restarted_at == [0]
    assert last.identity_changes == 1
    assert here.row.identity != before


@pytest.mark.requirement("N6")
@pytest.mark.parametrize("policy", ["stop", "restart"])
def test_a_topic_that_is_created_anew_under_a_running_consumer_is_noticed_at_the_next_look(
    here: Topic, policy: str
) -> None:
    here.consume(100)
    errors: list[BaseException] = []
    with running(here.consumer(on_identity_change=policy), errors) as consumer:
        eventually(lambda: consumer.snapshot().positions)
        here.recreate()
        if policy == "stop":
            eventually(lambda: errors)
        else:
            here.fill(20)
            eventually(lambda: here.handled, lambda handled: len(handled) >= 20)

    assert here.handled == ([] if policy == "stop" else list(range(20)))
    assert here.events.restarted_at == ([] if policy == "stop" else [0])
    # It may be noticed while there is no topic of that name.
    assert all(isinstance(error, TopicRecreated | TopicGone) for error in errors)


@pytest.mark.requirement("N6")
def test_a_position_of_another_cluster_is_refused(here: Topic) -> None:
    here.consume(5)
    here.row.identity = Identity(here.row.identity.topic_id, "another-cluster")

    assert "another-cluster" in str(refused(here, ClusterChanged))


def test_a_topic_that_is_deleted_under_a_running_consumer_ends_it(here: Topic) -> None:
    here.consume(5)
    errors: list[BaseException] = []

    with running(here.consumer(), errors) as consumer:
        eventually(lambda: consumer.snapshot().positions)
        here.broker.delete_topic(here.name)
        eventually(lambda: errors)

    assert isinstance(errors[0], TopicGone)


# --- outside of the log -----------------------------------------------------------------------


@pytest.mark.requirement("N6")
def test_messages_gone_before_they_were_handled_are_counted_and_refused(here: Topic) -> None:
    here.consume(10)
    here.fill(10)
    here.drop_before(17)

    assert refused(here, OffsetOutOfRange).missing == 7


@pytest.mark.requirement("N6")
def test_with_continue_the_messages_that_are_left_are_handled_and_those_missing_counted(
    here: Topic,
) -> None:
    here.consume(10)
    here.fill(10)
    here.drop_before(17)

    last = here.consumer(on_data_loss="continue").run_until(committed(3))

    assert here.handled == [17, 18, 19]
    assert (here.events.missing, last.missing) == ([7], 7)


@pytest.mark.requirement("N6")
@pytest.mark.parametrize("policy", ["stop", "continue"])
def test_a_position_behind_the_end_of_the_log(here: Topic, policy: str) -> None:
    here.consume(10)
    here.row.next_offset = 15

    if policy == "stop":
        assert refused(here, OffsetOutOfRange).missing == 5
    else:
        here.consumer(on_data_loss="continue").run_until(claimed())
        assert positions(here.store, here.name) == {0: 10}
        assert here.events.missing == [5]


# --- a log that was cut and has grown again -----------------------------------------------------


@pytest.mark.requirement("N6")
@pytest.mark.parametrize("policy", ["stop", "continue"])
def test_a_message_of_a_later_leader_where_another_was_handled_means_a_truncated_log(
    here: Topic, policy: str
) -> None:
    here.consume(10)
    here.fill(5)
    assert here.row.leader_epoch == 0
    here.row.leader_epoch = -1  # as if it had been handled under the leader before

    if policy == "stop":
        refused(here, LogTruncated)
    else:
        here.consumer(on_data_loss="continue").run_until(claimed())
        assert positions(here.store, here.name) == {0: 15}
        assert here.events.missing == [5]


@pytest.mark.requirement("N6")
def test_a_truncated_log_shows_also_where_the_marker_of_a_transaction_stands_before_the_position(
    here: Topic,
) -> None:
    here.consume(10)
    producer = Producer(
        {"bootstrap.servers": here.broker.bootstrap_servers, "transactional.id": here.name}
    )
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(here.name, b"written anew")
    producer.commit_transaction()
    here.row.next_offset, here.row.leader_epoch = 12, -1  # the marker is at 11

    error = refused(here, LogTruncated)

    assert "message at 10" in str(error)


# --- rows ---------------------------------------------------------------------------------------


def test_a_row_of_an_older_version_gets_its_identity_at_its_first_claim(here: Topic) -> None:
    here.consume(5)
    told, here.row.identity = here.row.identity, Identity()

    here.consumer().run_until(claimed())

    assert here.row.identity == told
    assert here.row.next_offset == 5


@pytest.mark.requirement("N6")
def test_the_command_in_the_error_resolves_it_and_the_row_is_of_the_new_topic(
    here: Topic, store: MongoStore, store_url: str, database: Database[Document]
) -> None:
    counted = Consumer(here.broker.bootstrap_servers, store, topics=[here.name], group=here.name)
    counted.on(here.name)(
        lambda message, session: store.database["effects"].insert_one(
            {"offset": message.offset}, session=session
        )
    )
    here.fill(5)
    counted.run_until(committed(5))
    [first] = database["eoconsumer_offsets"].find({"_id.partition": 0})
    assert first["cluster_id"] == here.admin.list_topics(here.name).cluster_id
    assert first["leader_epoch"] == 0
    here.recreate()
    here.fill(8)
    with pytest.raises(TopicRecreated) as refused:
        counted.run_until(committed(1))
    assert database["effects"].count_documents({}) == 5

    found = re.search("eoconsumer (offsets reset .* --execute)", str(refused.value))
    assert found is not None
    servers = {
        "EOCONSUMER_BOOTSTRAP_SERVERS": here.broker.bootstrap_servers,
        "EOCONSUMER_STORE": store_url,
    }
    done = CliRunner().invoke(app, found[1].split(), env=servers)
    assert done.exit_code == 0, done.output

    counted.run_until(committed(8))
    [second] = database["eoconsumer_offsets"].find({"_id.partition": 0})
    assert (second["next_offset"], database["effects"].count_documents({})) == (8, 13)
    assert second["topic_id"] != first["topic_id"]


@pytest.mark.requirement("N6")
def test_a_leader_epoch_is_not_believed_after_an_older_version_has_moved_the_position(
    store: MongoStore, database: Database[Document]
) -> None:
    key = TopicPartition("orders", 0)
    session = store.open("ledger", "first")
    session.claim([key], {key: Start(5, 1, identity=Identity("topic"), leader_epoch=3)})
    database["eoconsumer_offsets"].update_one(
        {"_id.partition": 0}, {"$set": {"next_offset": Int64(9), "version": 1}}
    )

    row = session.claim([key], {}).positions[key]

    assert (row.next_offset, row.identity, row.leader_epoch) == (9, Identity("topic"), None)


# --- a running consumer -------------------------------------------------------------------------


def test_looks_cost_no_claims_while_nothing_is_wrong(here: Topic) -> None:
    here.consume(5)
    looks = []
    consumer = here.consumer(identity_interval=0.05, readers=1)
    source = consumer._source

    def watched(number: int) -> Any:
        made = source(number)
        glance = made.glance

        def look(keys: Any) -> Any:
            seen = glance(keys)
            looks.extend([seen] if seen else [])
            return seen

        made.glance = look  # type: ignore[method-assign]  # counts the answers
        return made

    consumer._source = watched  # type: ignore[method-assign]  # as above
    last = consumer.run_until(within(lambda _: len(looks) >= 5))
    assert (last.claims, last.doubts) == (1, 0)
