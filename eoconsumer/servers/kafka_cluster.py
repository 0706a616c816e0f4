"""Several brokers that replicate each other's logs, for tests of moves and of elections."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from eoconsumer.servers.kafka import KafkaBroker, new_cluster_id
from eoconsumer.servers.startable import Startable

POLL_SECONDS = 0.05
#: Like those of one broker, replicated; and a leader or a controller that died is missed soon, but
#: not one that a busy machine keeps waiting.
SETTINGS = {
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "min.insync.replicas": "2",
    "replica.lag.time.max.ms": "15000",
    "broker.session.timeout.ms": "6000",
    "controller.quorum.election.timeout.ms": "500",
    "controller.quorum.fetch.timeout.ms": "1000",
}


class KafkaNode(KafkaBroker):
    """One node of a cluster, broker and controller."""

    def __init__(self, number: int, cluster_id: str, settings: Mapping[str, str]) -> None:
        """Be node ``number``, from 1; the cluster tells of the others before the start."""
        super().__init__(settings={"node.id": str(number), **settings})
        self.number = number
        self.voters = ""
        self._cluster_id = cluster_id

    @property
    def voter(self) -> str:
        """How the others find its controller."""
        return f"{self.number}@127.0.0.1:{self._controller_port}"

    def knows(self, topic: str) -> bool:
        """Whether this node tells of ``topic``: a new client asks the only one that it knows."""
        try:
            return self._admin().list_topics(topic, timeout=1).topics[topic].error is None
        except KafkaException:
            return False

    def _quorum(self) -> dict[str, str]:
        return {"controller.quorum.voters": self.voters}

    def _format(self) -> list[str]:
        return [f"--cluster-id={self._cluster_id}"]


class KafkaCluster(Startable):
    """Three real brokers; two of them must be alive, or there is no controller.

    >>> with KafkaCluster() as kafka:
    ...     kafka.create_topic("orders", partitions=4)
    ...     kafka.leader("orders").kill()
    """

    def __init__(self, *, settings: Mapping[str, str] | None = None) -> None:
        """Prepare the nodes; nothing runs before :meth:`start`.

        Args:
            settings: broker settings (``server.properties``) of each node, on top of ours.
        """
        cluster_id, settings = new_cluster_id(), SETTINGS | dict(settings or {})
        self.nodes = [KafkaNode(number, cluster_id, settings) for number in (1, 2, 3)]
        for node in self.nodes:
            node.voters = ",".join(each.voter for each in self.nodes)

    @property
    def bootstrap_servers(self) -> str:
        """What a client's ``bootstrap.servers`` wants: all nodes."""
        return ",".join(node.bootstrap_servers for node in self.nodes)

    def start(self, timeout: float = 120.0) -> None:
        """Start the nodes and wait, for at most ``timeout`` seconds, until all have joined.

        Raises:
            ConfigurationError: when a node does not come up; the message holds the last lines of
                its log.
            TimeoutError: when the nodes do not form a cluster in time.
        """
        deadline = time.monotonic() + timeout
        try:
            with ThreadPoolExecutor() as threads:  # each formats its folder first
                list(threads.map(KafkaNode.launch, self.nodes))
            for node in self.nodes:
                node.wait_until_ready(deadline - time.monotonic())
            self.wait_for_nodes(len(self.nodes), deadline - time.monotonic())
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill the nodes and remove their files."""
        for node in self.nodes:
            node.stop()

    def wait_for_nodes(self, count: int, timeout: float = 60.0) -> None:
        """Wait until ``count`` nodes serve: a broker that died is missed after some seconds.

        Raises:
            TimeoutError: when that is not so after ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        while self._served() != count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"Not {count} nodes within {timeout:g} s; {self._served()} are.")
            time.sleep(POLL_SECONDS)

    def create_topic(
        self,
        name: str,
        partitions: int = 1,
        replicas: int = 3,
        timeout: float = 60.0,
        **config: str,
    ) -> None:
        """Create a topic and wait, at most ``timeout`` seconds, until all living nodes know it.

        ``config`` are topic settings, with ``_`` for ``.``.

        Raises:
            KafkaException: as the broker says it.
            TimeoutError: when a node does not know the topic in time.
        """
        settings = {setting.replace("_", "."): value for setting, value in config.items()}
        topic = NewTopic(name, partitions, replicas, config=settings)
        admin = self._admin()  # kept until the answer is here
        admin.create_topics([topic])[name].result()
        deadline = time.monotonic() + timeout
        for node in self.nodes:
            while node.alive and not node.knows(name):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"Node {node.number} knows no topic {name} yet.")
                time.sleep(POLL_SECONDS)

    def leader(self, topic: str, partition: int = 0, timeout: float = 60.0) -> KafkaNode:
        """Wait until a partition has a leader that is alive, and return it.

        Raises:
            TimeoutError: when it has none after ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                found = self._admin().list_topics(topic, timeout=1).topics[topic].partitions
            except KafkaException:
                continue
            node = self._node(found[partition].leader) if partition in found else None
            if node is not None and node.alive:
                return node
            time.sleep(POLL_SECONDS)
        raise TimeoutError(f"{topic}[{partition}] has no leader within {timeout:g} s.")

    def in_sync(self, topic: str, partition: int = 0) -> list[KafkaNode]:
        """Return the nodes whose copy of a partition is known to be complete, if any tells."""
        with suppress(KafkaException, KeyError):
            found = self._admin().list_topics(topic, timeout=5).topics[topic].partitions[partition]
            return [node for number in found.isrs if (node := self._node(number))]
        return []

    def coordinator(self, group: str, timeout: float = 60.0) -> KafkaNode:
        """Wait until ``group`` has a coordinator that is alive and has loaded it; return that node.

        Raises:
            TimeoutError: when it has none after ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            admin = self._admin()  # kept until the answer is here
            asked = admin.describe_consumer_groups([group], request_timeout=10)[group]
            with suppress(KafkaException):  # it is just being loaded by another node
                node = self._node(asked.result().coordinator.id)
                if node is not None and node.alive:
                    return node
            time.sleep(POLL_SECONDS)
        raise TimeoutError(f"The group {group} has no coordinator within {timeout:g} s.")

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 2})

    def _served(self) -> int:
        try:
            return len(self._admin().list_topics(timeout=1).brokers)
        except KafkaException:
            return 0

    def _node(self, number: int) -> KafkaNode | None:
        return next((node for node in self.nodes if node.number == number), None)
