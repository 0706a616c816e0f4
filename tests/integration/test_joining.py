"""A member that is closed before its group has answered it for the first time is gone."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from trial import eventually

from eoconsumer.core.modes import Mode
from eoconsumer.kafka import GroupAdmin, KafkaSource, client_settings
from eoconsumer.message import TopicPartition
from eoconsumer.servers import KafkaBroker
from eoconsumer.servers.process import free_port

HELD_SECONDS = 0.4
SESSION_SECONDS = 20
CLASSIC = {"session.timeout.ms": SESSION_SECONDS * 1000, "heartbeat.interval.ms": 300}
#: https://kafka.apache.org/protocol#protocol_api_keys
JOIN_GROUP, CONSUMER_GROUP_HEARTBEAT = 11, 68


class Relay:
    """Stands before a broker; it holds back what the broker answers to one request of a kind."""

    def __init__(self) -> None:
        self.port = free_port()
        self.kind = JOIN_GROUP
        self.armed = threading.Event()
        self.held = threading.Event()
        self._server = socket.create_server(("127.0.0.1", self.port))

    def start(self, target: int) -> None:
        threading.Thread(target=self._accept, args=(target,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self, target: int) -> None:
        with suppress(OSError):  # until it is stopped
            while True:
                client, _ = self._server.accept()
                broker = eventually(partial(_connected, target))
                joining = threading.Event()
                for each in ((client, broker, joining, True), (broker, client, joining, False)):
                    threading.Thread(target=self._pass_on, args=each, daemon=True).start()

    def _pass_on(
        self, source: socket.socket, target: socket.socket, joining: threading.Event, asks: bool
    ) -> None:
        with source, target, suppress(OSError):
            while data := source.recv(1 << 16):
                is_join = asks and data[4:6] == struct.pack(">h", self.kind)
                if is_join and self.armed.is_set():
                    self.armed.clear()
                    joining.set()
                    self.held.set()
                elif not asks and joining.is_set():
                    joining.clear()
                    time.sleep(HELD_SECONDS)  # that is what is tried
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def relay() -> Iterator[Relay]:
    relay = Relay()
    yield relay
    relay.stop()


@pytest.mark.slow
@pytest.mark.requirement("S3-13")
@pytest.mark.parametrize(
    ("kind", "protocol"),
    [(JOIN_GROUP, CLASSIC), (CONSUMER_GROUP_HEARTBEAT, {"group.protocol": "consumer"})],
    ids=["classic", "consumer"],
)
def test_a_member_that_leaves_before_it_was_answered_is_not_waited_for(
    kind: int, protocol: dict[str, Any], relay: Relay
) -> None:
    relay.kind = kind
    settings = {
        # The broker tells clients the address of the relay.
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{relay.port}",
        "group.consumer.session.timeout.ms": str(SESSION_SECONDS * 1000),
        "group.consumer.heartbeat.interval.ms": "500",
    }
    kafka = KafkaBroker(settings=settings)
    relay.start(kafka.port)
    with kafka:
        kafka.create_topic("orders", partitions=2)
        address = f"127.0.0.1:{relay.port}"
        client = client_settings(address, "ledger", Mode.EXACTLY_ONCE, protocol)
        members = [KafkaSource(client) for _ in range(3)]
        given: dict[KafkaSource, list[TopicPartition]] = {each: [] for each in members}

        def join(member: KafkaSource) -> None:
            nothing = lambda _: None  # noqa: E731
            member.subscribe(["orders"], given[member].extend, nothing, nothing)

        there, leaving, late = members
        join(there)
        eventually(lambda: there.poll(1, 0.01) or given[there])
        relay.armed.set()
        join(leaving)
        eventually(lambda: there.poll(1, 0.01) or relay.held.is_set())
        over = threading.Event()
        polling = threading.Thread(target=_poll, args=(there, over))
        polling.start()
        try:
            leaving.close()
            group = GroupAdmin(client)
            eventually(group.members, lambda count: count == 1, seconds=SESSION_SECONDS / 2)
            join(late)
            eventually(lambda: late.poll(1, 0.01) or given[late], seconds=SESSION_SECONDS / 2)
        finally:
            over.set()
            polling.join()
            late.close()
            there.close()


def _connected(port: int) -> socket.socket | None:
    with suppress(ConnectionError):
        return socket.create_connection(("127.0.0.1", port))
    return None


def _poll(source: KafkaSource, over: threading.Event) -> None:
    while not over.is_set():
        source.poll(1, 0.02)
