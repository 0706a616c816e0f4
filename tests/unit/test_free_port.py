"""Ports for servers: nobody else chooses one that was chosen a moment ago."""

from __future__ import annotations

import random
import socket

import pytest

from eoconsumer.servers import process
from eoconsumer.servers.process import free_port


def unreserved() -> int:
    """Return a port that is free and that nobody has chosen."""
    port = free_port()
    process._give_back()
    return port


def chosen(monkeypatch: pytest.MonkeyPatch, *ports: int) -> int:
    """Return what is chosen if chance brings ``ports``, one after the other."""
    coming = iter(ports)
    monkeypatch.setattr(random, "randrange", lambda *_: next(coming))
    return free_port()


def test_a_port_is_not_chosen_again_before_its_server_listens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other, first = unreserved(), free_port()
    assert chosen(monkeypatch, first, first, other) == other


def test_a_server_can_listen_on_the_port_that_was_chosen_for_it() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as server:
        assert server.getsockname()[1] > 0


def test_a_port_that_is_listened_on_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken, other = server.getsockname()[1], unreserved()
        assert chosen(monkeypatch, taken, other) == other


def test_no_more_ports_are_held_than_servers_may_be_starting() -> None:
    first = free_port()
    for _ in range(process.RESERVED):
        free_port()
    with socket.socket(type=socket.SOCK_DGRAM) as anybody:
        anybody.bind(("127.0.0.1", first))
