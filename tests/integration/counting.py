"""Consumers in this process that write one effect for each message and count their calls."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from consuming import within
from trial import EFFECTS, PATIENT, Place, ends

from eoconsumer import Consumer, Message, Snapshot
from eoconsumer.stores.mongo import MongoStore


class Counting(Consumer):
    """What ``Each`` and ``Runs`` share; ``before`` is called with each message, and may raise."""

    kafka = PATIENT

    def __init__(
        self,
        bootstrap: str,
        store: MongoStore,
        topic: str,
        before: Callable[[Message], object] = lambda _: None,
        **settings: Any,
    ) -> None:
        self.calls: Counter[Place] = Counter()
        self.before = before
        self.effects = store.database[EFFECTS]
        super().__init__(bootstrap, store, topics=[topic], group=topic, **settings)

    def write(self, messages: Sequence[Message], session: Any) -> None:
        for message in messages:
            self.calls[message.partition, message.offset] += 1
            self.before(message)
        rows = [
            {"partition": m.partition, "offset": m.offset, "handled_at": time.monotonic_ns()}
            for m in messages
            if m.value is not None
        ]
        self.effects.insert_many(rows, session=session)

    def run_to_the_end(self, produced: Iterable[Place]) -> Snapshot:
        """Run until the positions stand behind all that was produced."""
        wanted = ends(produced)
        return self.run_until(
            within(lambda seen: {k.partition: o for k, o in seen.positions.items()} == wanted)
        )


class Each(Counting):
    def handle(self, message: Message, session: Any) -> None:
        self.write([message], session)


class Runs(Counting):
    def handle_batch(self, messages: Sequence[Message], session: Any) -> None:
        self.write(messages, session)
