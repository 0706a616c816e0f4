"""A consumer that writes one effect for each message, and does as it was told at a named point.

Takes one argument, a JSON object: ``bootstrap``, ``store`` (URL), ``settings`` (of ``Consumer``),
and what it may be told: ``point`` and ``do`` ("kill" or "stop" itself there, once ``after``
messages were handled), ``slow`` (seconds for each message), ``stay`` (seconds from the first
message that it handles; then it leaves the group and joins again), ``poison`` (offsets for which it
fails, ``attempts`` times), ``redrive`` (the dead letters of its group, and end). Says what happens
in JSON lines on stdout, each written at once.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from eoconsumer import Consumer, Message, RetryPolicy
from eoconsumer.core.effects import Run
from eoconsumer.core.positions import Claims, Start
from eoconsumer.message import TopicPartition
from eoconsumer.protocols import Store
from eoconsumer.stores import open_store
from eoconsumer.telemetry import Events

sys.path.insert(0, str(Path(__file__).parents[1]))  # what the tests share
TOLD: dict[str, Any] = json.loads(sys.argv[1])
handled = 0
once = threading.Lock()
asked = threading.Event()


def say(said: str, **details: Any) -> None:
    line = {"said": said, "at": time.monotonic(), **details}
    os.write(1, (json.dumps(line) + "\n").encode())


def at(point: str) -> None:
    """Do as told if this is the point, the first time that enough messages were handled."""
    if point != TOLD.get("point") or handled < TOLD.get("after", 1):
        return
    if once.acquire(blocking=False):
        say(point)
        how = signal.SIGKILL if TOLD["do"] == "kill" else signal.SIGSTOP
        # To this thread: another one would stop first, and this one a moment later, past the point.
        signal.pthread_kill(threading.get_ident(), how)


def pointed(owner: type, method: str, before: str, after: str) -> None:
    """Make a method of the store pass two points."""
    original: Callable[..., Any] = getattr(owner, method)

    def call(*args: Any) -> Any:
        at(before)
        result = original(*args)
        at(after)
        return result

    setattr(owner, method, call)


Write: TypeAlias = Callable[[Any, Any, Mapping[str, Any]], object]


def prepared(url: str) -> tuple[Store[Any], Write]:
    """Open the store, with its points; return it, and what writes an effect to it."""
    scopes: tuple[type, type]
    if url.startswith("mongodb"):
        from eoconsumer.stores.mongo.session import MongoSession
        from eoconsumer.stores.mongo.transaction import MongoTransaction

        scopes = MongoTransaction, MongoSession

        def write(store: Any, session: Any, effect: Mapping[str, Any]) -> None:
            store.database["effects"].insert_one(effect, session=session)

    else:
        from sql_trial import EFFECTS
        from sqlalchemy import insert

        from eoconsumer.stores.sql.session import SQLSession
        from eoconsumer.stores.sql.transaction import SQLTransaction

        scopes = SQLTransaction, SQLSession

        def write(_: Any, session: Any, effect: Mapping[str, Any]) -> None:
            session.execute(insert(EFFECTS), effect)

    transaction, session = scopes
    for scope in scopes:
        pointed(scope, "advance", "advancing", "advanced")
    pointed(transaction, "commit", "committing", "committed")
    pointed(transaction, "bury", "burying", "buried")
    pointed(transaction, "remove", "removing", "removed")
    telling(session)
    return open_store(url), write


def telling(session: type) -> None:
    """Let a session tell when Kafka has given it partitions, before they are claimed."""
    claim: Callable[..., Claims] = session.claim  # type: ignore[attr-defined]  # of any store

    def told(
        self: Any, keys: Sequence[TopicPartition], starts: Mapping[TopicPartition, Start]
    ) -> Claims:
        say("claiming", partitions=[key.partition for key in keys])
        return claim(self, keys, starts)

    session.claim = told  # type: ignore[attr-defined]


class Said(Events):
    """Says what happens inside the consumer."""

    def claimed(self, positions: Mapping[TopicPartition, int]) -> None:
        say("claimed", positions={str(key.partition): offset for key, offset in positions.items()})

    def fenced(self, partition: TopicPartition) -> None:
        say("fenced", partition=partition.partition)

    def committed(self, runs: tuple[Run, ...], seconds: float) -> None:
        upto = {str(run.partition.partition): run.upto for run in runs}
        say("settled", upto=upto, seconds=seconds)

    def in_doubt_resolved(self, committed: bool, tries: int) -> None:
        say("in doubt", committed=committed, tries=tries)

    def store_retry(self, error: BaseException, tries: int) -> None:
        say("store retry", error=str(error), tries=tries)

    def restarted(self, error: BaseException, attempt: int, delay: float) -> None:
        say("restarted", error=str(error), attempt=attempt, delay=delay)


store, write_effect = prepared(TOLD["store"])


class Stay:
    """How long a run lasts: ``stay`` seconds from its first message, or until it is told to end."""

    def __init__(self) -> None:
        self.until = float("inf")

    def begin(self) -> None:
        self.until = min(self.until, time.monotonic() + TOLD.get("stay", float("inf")))

    def over(self, _: object) -> bool:
        return asked.is_set() or time.monotonic() >= self.until


class Ledger(Consumer):
    events = Said()
    retry = RetryPolicy(attempts=TOLD.get("attempts", 3))

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self.stay = Stay()
        super().__init__(*arguments, **settings)

    def handle(self, message: Message, session: Any) -> None:
        global handled
        say("handled", partition=message.partition, offset=message.offset)
        self.stay.begin()
        handled += 1
        at("handling")
        effect = {
            "partition": message.partition,
            "offset": message.offset,
            "handled_at": time.monotonic_ns(),  # one clock for all processes of a machine
            "by": os.getpid(),
        }
        write_effect(self.store, session, effect)
        at("written")
        if message.offset in TOLD.get("poison", ()):
            raise ValueError("it cannot be done")
        time.sleep(TOLD.get("slow", 0))

    def after_commit(self, messages: Sequence[Message]) -> None:
        del messages
        at("after_commit")

    def stop(self) -> None:
        asked.set()
        super().stop()

    def on_assigned(self, partitions: list[TopicPartition]) -> None:
        say("assigned", partitions=[key.partition for key in partitions])

    def on_revoked(self, partitions: list[TopicPartition]) -> None:
        say("revoked", partitions=[key.partition for key in partitions])


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    signal.signal(signal.SIGTERM, lambda *_: asked.set())  # between two runs
    if TOLD.get("redrive"):
        result = Ledger(TOLD["bootstrap"], store, **TOLD["settings"]).redrive()
        say("redriven", done=result.done, stayed=result.stayed)
        return
    while not asked.is_set():
        consumer = Ledger(TOLD["bootstrap"], store, **TOLD["settings"])
        consumer.run_until(consumer.stay.over)
    say("ended")


if __name__ == "__main__":
    main()
