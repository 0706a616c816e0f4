"""librdkafka's own mock cluster: no Java, no files, a tenth of a second to start."""

from __future__ import annotations

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from eoconsumer.errors import ConfigurationError
from eoconsumer.servers.startable import Startable


class MockKafka(Startable):
    """A mock Kafka cluster inside this process, which any client on this machine can use.

    It can: produce and consume, keyed and with headers; idempotent and transactional producers;
    consumer groups in the classic and in the new protocol, with rebalances and committed offsets.
    A topic comes to be when it is first used, always with four partitions.

    It cannot: create or delete topics, tell a topic's id, hide messages of aborted transactions,
    keep data, or be killed, paused and restarted on its own. A classic group takes three seconds
    to form. Prove nothing about guarantees with it; use
    :class:`~eoconsumer.servers.KafkaBroker` for that.

    >>> with MockKafka() as kafka:
    ...     producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    """

    def __init__(self, brokers: int = 1) -> None:
        """Prepare a cluster of ``brokers`` mock brokers; nothing runs before :meth:`start`."""
        self._brokers = brokers
        self._host: AdminClient | None = None
        self._addresses: list[str] = []

    @property
    def bootstrap_servers(self) -> str:
        """What a client's ``bootstrap.servers`` wants.

        Raises:
            RuntimeError: when the cluster was not started.
        """
        if self._host is None:
            raise RuntimeError("The mock cluster is not running; start it.")
        return ",".join(self._addresses)

    def start(self) -> None:
        """Start the cluster; it lives as long as the client that hosts it.

        Raises:
            ConfigurationError: when it does not answer within ten seconds.
        """
        host = AdminClient({"test.mock.num.brokers": self._brokers, "log_level": 2})
        try:
            brokers = host.list_topics(timeout=10).brokers.values()
        except KafkaException as error:
            raise ConfigurationError(
                "librdkafka's mock cluster did not answer within 10 s; nothing was started."
            ) from error
        self._host, self._addresses = host, [f"{broker.host}:{broker.port}" for broker in brokers]

    def stop(self) -> None:
        """End the cluster; clients that still use it see their connections refused."""
        self._host = None
