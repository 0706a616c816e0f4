"""The thread that polls for a reader whose batch takes long."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from eoconsumer.message import TopicPartition
from eoconsumer.runner.keepalive import KeepAlive

P0, P1 = TopicPartition("orders", 0), TopicPartition("orders", 1)


class Kept(KeepAlive):
    """A keep-alive in whose own poll a callback comes; it notes what it waits for and gives up."""

    def __init__(self) -> None:
        self.waited: list[float] = []
        self.given_up: list[list[TopicPartition]] = []
        flow = SimpleNamespace(revoked=list)
        source = SimpleNamespace(max_poll_seconds=20.0)
        fetching: Any = SimpleNamespace(flow=flow, source=source, rebalance=self.given_up.append)
        super().__init__(fetching)
        between: Any = SimpleNamespace(wait=lambda seconds: self.waited.append(seconds) or True)
        self._between = between

    def _is_here(self) -> bool:
        return True


@pytest.mark.requirement("S3-13")
def test_what_was_never_claimed_is_given_back_without_waiting_for_the_batch_in_hand() -> None:
    keeper = Kept()
    keeper.assigned([P0])
    keeper.revoked([P0])
    assert keeper.waited == keeper.given_up == []


@pytest.mark.requirement("S3-13")
def test_what_is_in_hand_is_given_back_when_its_batch_is_done() -> None:
    keeper = Kept()
    keeper.assigned([P0])
    keeper.revoked([P0, P1])
    assert (keeper.waited, keeper.given_up) == ([20.0], [[P1]])
