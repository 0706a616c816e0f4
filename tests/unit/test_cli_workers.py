"""The process of `eoconsumer run`."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from eoconsumer.cli import calling, workers
from eoconsumer.cli.target import Target


@pytest.fixture
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("thawed")
def test_the_garbage_collector_leaves_alone_what_was_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frozen: list[int] = []
    monkeypatch.setattr(calling, "run", lambda _: frozen.append(gc.get_freeze_count()))
    monkeypatch.setattr(workers, "_on_signals", lambda _: None)

    class Made(Target):
        def consumer(self) -> Any:
            return None

    workers.run(Made("shop:Ledger", None, None, {}, ()), 1)

    assert frozen[0] > 10_000
