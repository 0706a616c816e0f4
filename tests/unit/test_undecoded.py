"""No handler sees a message that could not be decoded, even if it never looks at the value."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from eoconsumer import AsyncConsumer, Consumer, Events, Mode
from eoconsumer.codecs import Form
from eoconsumer.errors import DecodeError
from eoconsumer.stores.memory import MemoryStore
from eoconsumer.stores.memory_async import AsyncMemoryStore
from eoconsumer.telemetry import Trace
from eoconsumer.testing.feed import feed, feed_async

FORMS: list[Form] = ["handle", "batch", "writes"]
VALUES = [b'{"n": 0}', b'{"n": 1}', b"no JSON", b'{"n": 3}']
SETTINGS: dict[str, Any] = {"group": "ledger", "on_poison": "bury"}


class Traced(Events):
    """Hooks, so that each message is handled with a trace of its own."""

    def trace(self, trace: Trace) -> None:
        """Take it."""


def handlers(seen: list[int]) -> dict[Form, Any]:
    """Handlers that note offsets, and look at nothing else."""

    def handle(message: Any, _: Any) -> None:
        seen.append(message.offset)

    def batch(messages: Any, _: Any) -> None:
        seen.extend(message.offset for message in messages)

    def writes(message: Any) -> None:
        seen.append(message.offset)

    return {"handle": handle, "batch": batch, "writes": writes}


@pytest.mark.requirement("N4")
@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("events", [None, Traced()], ids=["", "traced"])
def test_it_is_buried_and_the_others_are_handled_once(
    form: Form, mode: Mode, events: Traced | None
) -> None:
    store, seen = MemoryStore(), list[int]()
    ledger = Consumer("unused:9092", store, mode=mode, events=events, **SETTINGS)
    ledger.on("moves", value_type=dict, form=form)(handlers(seen)[form])

    fed = feed(ledger, VALUES)

    assert [each.message.offset for each in fed.buried] == [2]
    assert [message.offset for message in fed.applied] == [0, 1, 3]
    # A batch that is split is handled again, from its beginning.
    assert 2 not in seen
    assert {*seen} == {0, 1, 3}
    if form == "batch" and mode is Mode.AT_MOST_ONCE:
        assert seen == [0, 1, 3]


@pytest.mark.parametrize("form", FORMS)
def test_so_it_is_with_an_async_handler(form: Form) -> None:
    seen: list[int] = []

    async def main() -> Any:
        ledger = AsyncConsumer("unused:9092", AsyncMemoryStore(), **SETTINGS)
        plain = handlers(seen)[form]

        async def handler(*given: Any) -> None:
            plain(*given)

        ledger.on("moves", value_type=dict, form=form)(handler)
        return await feed_async(ledger, VALUES)

    fed = asyncio.run(main())
    assert [each.message.offset for each in fed.buried] == [2]
    assert {*seen} == {0, 1, 3}


def test_a_stop_names_it() -> None:
    ledger = Consumer("unused:9092", MemoryStore(), group="ledger")
    ledger.on("moves", value_type=dict)(lambda _message, _session: None)
    with pytest.raises(DecodeError, match=r"moves\[0\]@2"):
        feed(ledger, VALUES)
