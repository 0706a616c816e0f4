"""A real Apache Kafka broker on this machine, for tests and the demo."""

from __future__ import annotations

import socket
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from eoconsumer.errors import ConfigurationError
from eoconsumer.servers.class_archive import class_archive
from eoconsumer.servers.jars import kafka_jars
from eoconsumer.servers.java import find_java
from eoconsumer.servers.process import ServerProcess, free_port

SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "auto.create.topics.enable": "false",
    # A killed broker may return only when the controller has given up its old registration.
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",
    # Nobody watches how far controllers are behind: no need to write twice a second when idle.
    "metadata.max.idle.interval.ms": "0",
    # Short tests: a group forms at once, and members may be declared dead within a second.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.coordinator.rebalance.protocols": "classic,consumer",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.heartbeat.interval.ms": "100",
    "group.consumer.heartbeat.interval.ms": "500",
}
OUTPUT_TAIL = 2000  # characters
LOOK_SECONDS = 10.0  # for one answer of many
ADMIN_TIMEOUT = 60.0  # seconds
POLL_SECONDS = 0.02
JVM_FLAGS = (
    # Most brokers live for seconds: better code would cost them more than it saves.
    "-XX:TieredStopAtLevel=1",
    "-Xms256m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)


class KafkaBroker(ServerProcess):
    """One real broker (KRaft, broker and controller in one process).

    >>> with KafkaBroker() as kafka:
    ...     kafka.create_topic("orders", partitions=4)
    """

    name = "kafka"

    def __init__(
        self,
        *,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        listeners: Mapping[str, str] | None = None,
        jvm: Sequence[str] = (),
    ) -> None:
        """Prepare a broker; nothing runs before :meth:`start`.

        Args:
            port: where clients connect, by default a free one.
            settings: broker settings (``server.properties``) on top of ours.
            listeners: where clients may connect besides, for tests of TLS and of logins: names, as
                in ``listener.name.<name>.ssl.keystore.location``, and their security protocols
                (``SSL``, ``SASL_PLAINTEXT``, ``SASL_SSL``); see :meth:`address`.
            jvm: flags of Java on top of ours, which are made for brokers that start soon and do
                little.
        """
        super().__init__(port)
        self._jvm = tuple(jvm)
        self._controller_port = free_port()
        self._settings = dict(settings or {})
        self._protocols = {name.upper(): protocol for name, protocol in (listeners or {}).items()}
        self._ports = {name: free_port() for name in self._protocols}

    @property
    def bootstrap_servers(self) -> str:
        """What a client's ``bootstrap.servers`` wants."""
        return f"127.0.0.1:{self.port}"

    def address(self, listener: str) -> str:
        """Return what ``bootstrap.servers`` has to be for one of the ``listeners``."""
        return f"127.0.0.1:{self._ports[listener.upper()]}"

    def command(self) -> list[str]:
        """Run the broker on its formatted folder."""
        return [*self._java("kafka.Kafka", *self._jvm), str(self._properties())]

    def is_ready(self) -> bool:
        """Whether the broker answers a request for its metadata."""
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", self.port)) != 0:
                return False
        try:
            return bool(self._admin().list_topics(timeout=1).brokers)
        except KafkaException:
            return False

    def create_topic(self, name: str, partitions: int = 1, **config: str) -> None:
        """Create a topic and wait until its partitions have a leader.

        Args:
            name: the topic's name.
            partitions: how many partitions.
            config: topic settings, with ``_`` for ``.`` (``cleanup_policy="compact"``).

        Raises:
            KafkaException: as the broker says it, for instance when the topic is there already.
            TimeoutError: when it has no leaders after a minute.
        """
        settings = {setting.replace("_", "."): value for setting, value in config.items()}
        admin = self._admin()
        admin.create_topics([NewTopic(name, partitions, 1, config=settings)])[name].result()
        deadline = time.monotonic() + ADMIN_TIMEOUT
        trouble: KafkaException | None = None
        while True:  # the controller knows it before the broker
            try:
                if _is_led(admin, name, partitions):
                    return
            except KafkaException as error:
                # A client was seen that found no broker any more, while others did.
                trouble, admin = error, self._admin()
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{name} has no leaders within {ADMIN_TIMEOUT:g} s."
                ) from trouble
            time.sleep(POLL_SECONDS)

    def delete_topic(self, name: str) -> None:
        """Delete a topic.

        Raises:
            KafkaException: as the broker says it, for instance when there is no such topic.
        """
        admin = self._admin()
        admin.delete_topics([name])[name].result()

    def tool(self, main_class: str, *arguments: str) -> str:
        """Run one of Kafka's own tools and return what it printed.

        >>> kafka.tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        ...            "--bootstrap-server", kafka.bootstrap_servers, "--list")

        Raises:
            subprocess.CalledProcessError: when the tool fails; ``output`` holds what it printed.
        """
        return subprocess.run(
            [*self._java(main_class), *arguments],
            check=True,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ).stdout

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 2})

    def _java(self, main_class: str, *flags: str) -> list[str]:
        java = [str(find_java()), *JVM_FLAGS, *self._classes(), *flags]
        return [*java, "-cp", f"{kafka_jars()}/*", main_class]

    def _classes(self) -> list[str]:
        """The flags that spare the JVM most of the work with Kafka's classes."""
        archive = class_archive(find_java(), _rehearse)
        return [f"-XX:SharedArchiveFile={archive}"] if archive else []

    def _quorum(self) -> dict[str, str]:
        """The settings that name the controllers."""
        return {"controller.quorum.bootstrap.servers": f"127.0.0.1:{self._controller_port}"}

    def _format(self) -> list[str]:
        """How the storage tool is told of the cluster: as the first and only node of a new one."""
        # Some cluster ids begin with a dash: `--cluster-id ID` would not do.
        return ["--standalone", f"--cluster-id={new_cluster_id()}"]

    def _properties(self) -> Path:
        properties = self.folder / "server.properties"
        if not properties.exists():
            ports = {"PLAINTEXT": self.port, "CONTROLLER": self._controller_port} | self._ports
            protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"} | self._protocols
            settings = SETTINGS | {
                "listeners": ",".join(f"{name}://127.0.0.1:{n}" for name, n in ports.items()),
                "listener.security.protocol.map": ",".join(map(":".join, protocols.items())),
                "log.dirs": str(self.folder / "data"),
            }
            settings |= self._quorum() | self._settings
            properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
            formatting = ["format", *self._format(), "-c", str(properties)]
            try:
                self.tool("kafka.tools.StorageTool", *formatting)
            except subprocess.CalledProcessError as error:
                raise ConfigurationError(
                    "Kafka refused its settings; no broker was started. It said:\n"
                    + error.output[-OUTPUT_TAIL:]
                ) from error
        return properties


def _is_led(admin: AdminClient, topic: str, partitions: int) -> bool:
    """Whether the broker tells of ``topic``, and of a leader of each of its partitions."""
    found = admin.list_topics(topic, timeout=LOOK_SECONDS).topics[topic].partitions.values()
    return len([each for each in found if each.leader >= 0]) == partitions


class _Rehearsal(KafkaBroker):
    """A broker that is started for the classes that it loads."""

    def _classes(self) -> list[str]:
        return []


def _rehearse(archive: Path) -> None:
    """Start a broker that writes its classes to ``archive`` when it ends.

    Raises:
        ConfigurationError: when it does not come up, or does not end by itself.
    """
    with _Rehearsal(jvm=[f"-XX:ArchiveClassesAtExit={archive}"]) as broker:
        if not broker.terminate(timeout=60):
            raise ConfigurationError("A broker did not end within 60 s.")


def new_cluster_id() -> str:
    """Return an id that no other cluster has."""
    return urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
