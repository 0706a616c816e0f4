"""Where the system has no more threads, those that have begun do not go on alone."""

from __future__ import annotations

import threading
from unittest.mock import patch

import pytest
from on_loop import SERVERS, logs

from eoconsumer import Consumer
from eoconsumer.stores.memory import MemoryStore
from eoconsumer.testing.fed_source import FedSource

pytestmark = pytest.mark.requirement("S3-25")


@pytest.mark.parametrize(
    ("settings", "last"),
    [({"readers": 2}, "-1"), ({"readers": 1, "lanes": 2}, "-lane-2")],
    ids=["readers", "lanes"],
)
def test_threads_that_have_begun_end_where_another_cannot(
    settings: dict[str, int], last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eoconsumer.consumer.consumer.topics_exist", lambda *_: None)
    consumer = Consumer(SERVERS, MemoryStore(), group="ledger", **settings)
    consumer.on("orders")(lambda _, __: None)
    monkeypatch.setattr(consumer, "_source", lambda _: FedSource(logs(1, 1), {}, lambda _: None))
    start = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if thread.name.endswith(last):
            raise RuntimeError("can't start new thread")
        start(thread)

    with (
        patch.object(threading.Thread, "start", refused),
        pytest.raises(RuntimeError, match="can't start new thread"),
    ):
        consumer.run()
    assert not [t.name for t in threading.enumerate() if t.name.startswith("eoconsumer-ledger")]
