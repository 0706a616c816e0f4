"""The sessions of a reader's lanes are all open, or none is."""

from __future__ import annotations

from typing import Any

import pytest
from on_loop import SERVERS, logs

from eoconsumer import Consumer
from eoconsumer.core.lanes import Lane
from eoconsumer.runner import Runner
from eoconsumer.runner.flag import Flag
from eoconsumer.runner.watch import Watch
from eoconsumer.stores.memory import MemoryStore
from eoconsumer.testing.fed_source import FedSource


class Full(MemoryStore):
    """Has no connection left for the third session of a reader."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[int] = []
        self.closed: list[int] = []

    def open_lane(self, group: str, owner: str, lane: Lane) -> Any:
        if lane.number == 2:
            raise RuntimeError("too many connections")
        session = super().open_lane(group, owner, lane)
        self.opened.append(lane.number)
        session.close = lambda: self.closed.append(lane.number)  # type: ignore[method-assign]
        return session


@pytest.mark.requirement("N2")
def test_where_one_session_of_a_reader_cannot_be_opened_the_others_are_closed() -> None:
    store = Full()
    consumer = Consumer(SERVERS, store, group="ledger", topics="orders", readers=1, lanes=3)
    watch = Watch(consumer.events, changed := Flag(), lanes=True)
    source = FedSource(logs(1, 1), {}, lambda _: None)
    user = consumer._user()
    runner = Runner(consumer.config, store, lambda _: source, user, watch, changed)
    runner.start()
    with pytest.raises(RuntimeError, match="too many connections"):
        runner.join()
    assert store.opened == [0, 1]
    assert sorted(store.closed) == [0, 1]
