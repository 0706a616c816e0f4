"""A member that is closed before its group has answered it for the first time is gone."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from trial import eventually

from eoconsumer.core.modes import Mode
from eoconsumer.kafka import GroupAdmin, KafkaSource, client_settings, membership
from eoconsumer.message import TopicPartition
from eoconsumer.servers import KafkaBroker
from eoconsumer.servers.process import free_port

#: https://kafka.apache.org/protocol#protocol_api_keys
JOIN_GROUP, CONSUMER_GROUP_HEARTBEAT = 11, 68
#: By the request: of a heartbeat that is held for longer, librdkafka itself waits for the answer.
HELD_SECONDS = {JOIN_GROUP: 0.4, CONSUMER_GROUP_HEARTBEAT: 0.1}
SESSION_SECONDS = 60
CLASSIC = {"session.timeout.ms": SESSION_SECONDS * 1000, "heartbeat.interval.ms": 300}


class Relay:
    """Stands before a broker; it holds back what the broker answers to one request of a kind."""

    def __init__(self) -> None:
        self.port = free_port()
        self.kind = JOIN_GROUP
        self.armed = threading.Event()
        self.held = threading.Event()
        self._over = threading.Event()
        self._server = socket.create_server(("127.0.0.1", self.port))

    def start(self, target: int) -> None:
        threading.Thread(target=self._accept, args=(target,), daemon=True).start()

    def stop(self) -> None:
        self._over.set()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self, target: int) -> None:
        with suppress(OSError):  # until it is stopped
            while True:
                client, _ = self._server.accept()
                # 1. The broker of a test stops, 2. a client comes once more, 3. the test ends.
                broker = eventually(lambda: self._over.is_set() or _connected(target))
                if not isinstance(broker, socket.socket):
                    client.close()
                    break
                # Not those of the member that is there: it asks, too.
                joining = threading.Event() if self.armed.is_set() else None
                for each in ((client, broker, joining, True), (broker, client, joining, False)):
                    threading.Thread(target=self._pass_on, args=each, daemon=True).start()

    def _pass_on(
        self,
        source: socket.socket,
        target: socket.socket,
        joining: threading.Event | None,
        asks: bool,
    ) -> None:
        with source, target, suppress(OSError):
            while data := source.recv(1 << 16):
                is_join = asks and data[4:6] == struct.pack(">h", self.kind)
                if is_join and joining is not None and self.armed.is_set():
                    self.armed.clear()
                    joining.set()
                    self.held.set()
                elif not asks and joining is not None and joining.is_set():
                    joining.clear()
                    time.sleep(HELD_SECONDS[self.kind])  # that is what is tried
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
    kind: int, protocol: dict[str, Any], relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay.kind = kind
    # What a close waits for at most: here the answer comes, however slow the machine is.
    monkeypatch.setattr(membership, "NAMING_SECONDS", 30.0)
    monkeypatch.setattr(membership, "HEARTBEAT_SECONDS", 5.0)
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
        given: dict[KafkaSource, list[TopicPartition]] = {}

        def join() -> KafkaSource:
            member, nothing = KafkaSource(client), lambda _: None
            given[member] = []
            member.subscribe(["orders"], given[member].extend, nothing, nothing)
            return member

        there = join()
        eventually(lambda: there.poll(1, 0.01) or given[there])
        relay.armed.set()
        leaving = join()
        eventually(lambda: there.poll(1, 0.01) or relay.held.is_set())
        over = threading.Event()
        polling = threading.Thread(target=_poll, args=(there, over))
        polling.start()
        try:
            leaving.close()
            group = GroupAdmin(client)
            eventually(group.members, lambda count: count == 1, seconds=SESSION_SECONDS / 2)
            late = join()
            eventually(lambda: late.poll(1, 0.01) or given[late], seconds=SESSION_SECONDS / 2)
            late.close()
        finally:
            over.set()
            polling.join()
            there.close()


def _connected(port: int) -> socket.socket | None:
    with suppress(ConnectionError):
        return socket.create_connection(("127.0.0.1", port))
    return None


def _poll(source: KafkaSource, over: threading.Event) -> None:
    while not over.is_set():
        source.poll(1, 0.02)
