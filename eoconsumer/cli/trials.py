"""What the doctor tries, on a broker and on a store of any kind."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any, Protocol, runtime_checkable

from eoconsumer.core.identity import changed
from eoconsumer.core.modes import Mode
from eoconsumer.core.positions import UNKNOWN, Move, Position, Start
from eoconsumer.errors import ConfigurationError, StoreError
from eoconsumer.kafka import GroupAdmin, KafkaSource, client_settings
from eoconsumer.kafka.check import topics, topics_exist
from eoconsumer.kafka.inspector import Inspector
from eoconsumer.message import TopicPartition
from eoconsumer.protocols import Store, StoreSession
from eoconsumer.redact import redact_address

NAME = "eoconsumer-doctor"
PLACE = TopicPartition(NAME, 0)

Read = Callable[[Sequence[TopicPartition]], Mapping[TopicPartition, Position]]


@runtime_checkable
class SelfDiagnosing(Protocol):
    """A store that can say more of its server than that it works."""

    def diagnose(self) -> Sequence[tuple[str, bool, str]]:
        """Return each check's name, whether it passed, and what was found or what to do."""


class _RollBack(Exception):  # noqa: N818 - no error: it only leaves a transaction
    """Ends a transaction that must not happen."""


class Database:
    """A store under examination; the trials raise where something is wrong."""

    def __init__(self, store: Store[Any]) -> None:
        """Try nothing yet."""
        self._store = store

    def diagnose(self) -> Sequence[tuple[str, bool, str]]:
        """Return what the store itself finds."""
        return self._store.diagnose() if isinstance(self._store, SelfDiagnosing) else ()

    def setup(self) -> str:
        """Make what is missing, as every consumer does at its start."""
        self._store.setup()
        return repr(self._store)

    def roll_back(self) -> str:
        """Move a position in a transaction, roll it back, and read what is stored."""
        with closing(self._open()) as session:
            move = _claim(session)
            try:
                with session.transaction() as transaction:
                    transaction.advance([move])
                    raise _RollBack
            except _RollBack:
                pass
            if session.positions([PLACE])[PLACE].next_offset != move.expected:
                raise ConfigurationError(
                    "A transaction was rolled back, but its write is there: this database does not "
                    "do what exactly-once needs. Do not use it."
                )
        return "a position was moved and rolled back"

    def take_over(self) -> str:
        """Leave a transaction open that holds a position, and claim the position elsewhere."""
        with closing(self._open()) as dead, closing(self._open()) as heir:
            move = _claim(dead)
            seconds: float | None = None
            try:
                with dead.transaction() as transaction:
                    transaction.advance([move])
                    began = time.monotonic()
                    _claim(heir)
                    seconds = time.monotonic() - began
            except StoreError:
                if seconds is None:
                    return "an open transaction holds its position until it ends: nobody can end it"
                return f"an open transaction was ended and its position claimed in {seconds:.2f} s"
        raise ConfigurationError(
            "A transaction committed although its position had been claimed by another owner: "
            "this database does not do what exactly-once needs. Do not use it."
        )

    def positions(
        self, group: str, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, Position]:
        """Read the stored positions of ``group``."""
        with closing(self._open(group)) as session:
            return session.positions(partitions)

    def _open(self, group: str = NAME) -> StoreSession[Any]:
        return self._store.open(group, f"{NAME}:{uuid.uuid4().hex}")


class Broker:
    """A broker under examination; the trials raise where something is wrong."""

    def __init__(self, servers: str, group: str | None, kafka: Mapping[str, Any]) -> None:
        """Connect to nothing yet; ``kafka`` are settings of librdkafka."""
        self._group = group or NAME
        self._settings = client_settings(servers, self._group, Mode.EXACTLY_ONCE, kafka)

    def reach(self) -> str:
        """Ask for the topics."""
        servers = redact_address(self._settings["bootstrap.servers"])
        return f"{len(topics(self._settings))} topics at {servers}"

    def topic(self, name: str) -> str:
        """Look for a topic, or for those that a pattern matches."""
        topics_exist(self._settings, [name])
        matching = self._matching(name)
        if not matching:
            return f"none matches {name} yet"
        return ", ".join(f"{topic}: {count} partitions" for topic, count in matching.items())

    def group(self) -> str:
        """Ask for the group, which no member may join that may not see it."""
        return f"{GroupAdmin(self._settings).members()} members"

    def positions(self, name: str, read: Read) -> str:
        """Compare the stored positions with the topic that is there, and what it still holds."""
        keys = [
            TopicPartition(topic, partition)
            for topic, count in self._matching(name).items()
            for partition in range(count)
        ]
        stored = read(keys)
        with closing(KafkaSource(self._settings)) as source:
            low = source.resolve(dict.fromkeys(stored, "earliest"))
            high = source.resolve(dict.fromkeys(stored, "latest"))
        seen = Inspector(self._settings).inspect([*stored]) if stored else {}
        for key, row in stored.items():
            there = seen[key].identity if key in seen else UNKNOWN
            if error := changed(key, row.identity, there, self._group):
                raise error
        wrong = [
            f"{key.topic}[{key.partition}] is at {row.next_offset}, the topic has "
            f"{low[key].next_offset} to {high[key].next_offset}"
            for key, row in stored.items()
            if not low[key].next_offset <= row.next_offset <= high[key].next_offset
        ]
        if wrong:
            raise ConfigurationError(
                f"Positions outside of the log: {'; '.join(wrong)}. A consumer would stop there: "
                "check that group, topic and database belong together."
            )
        lag = sum(high[key].next_offset - row.next_offset for key, row in stored.items())
        return f"{len(stored)} of {len(keys)} partitions stored, {lag} messages behind"

    def _matching(self, name: str) -> dict[str, int]:
        found = topics(self._settings)
        if name.startswith("^"):
            return {topic: count for topic, count in found.items() if re.match(name, topic)}
        return {name: found[name]}


def _claim(session: StoreSession[Any]) -> Move:
    """Own the doctor's row, and return a step of it."""
    found = session.claim([PLACE], {PLACE: Start(0, 1)}).positions[PLACE]
    return Move(PLACE, found.epoch, found.next_offset, found.next_offset + 1)
