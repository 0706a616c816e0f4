"""One reader's Kafka client: fetches from where it is told, and never chooses a position."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import get_ident
from typing import Any

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
)
from confluent_kafka import Message as KafkaMessage
from confluent_kafka import TopicPartition as KafkaPartition

from eoconsumer.core.identity import Found, Sighting
from eoconsumer.core.positions import Start
from eoconsumer.errors import (
    BrokerError,
    ConfigurationError,
    EOConsumerError,
    OffsetOutOfRange,
    PositionError,
    TopicGone,
)
from eoconsumer.kafka import start
from eoconsumer.kafka.commits import GroupCommits
from eoconsumer.kafka.inspector import Inspector
from eoconsumer.kafka.log import librdkafka_log
from eoconsumer.kafka.membership import Membership
from eoconsumer.kafka.raw import raw_messages
from eoconsumer.kafka.settings import is_incremental, refused, text
from eoconsumer.message import RawMessage, TopicPartition

log = logging.getLogger("eoconsumer.kafka")
Callback = Callable[[list[TopicPartition]], None]

#: How long a client that lost its place in the group may look for another where Kafka answers.
OUTSIDE_SECONDS = 30.0
#: How many messages are asked for at once. The garbage collector watches what the client makes; so
#: few are gone, once we have what we keep, before it looks (with each 700th new object).
CHUNK = 250
#: librdkafka would ask again for ever, and nothing would be consumed.
_FORBIDDEN = {KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.TOPIC_AUTHORIZATION_FAILED}


class KafkaSource:
    """A ``confluent_kafka.Consumer`` that starts where the store says."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Make the client of ``settings``; raises ``ConfigurationError`` for a bad one."""
        self._incremental = is_incremental(settings)
        self._paused: set[TopicPartition] = set()
        self._in_callback: int | None = None  # the thread that is in one
        self._outside_since: float | None = None  # lost its place in the group, and has no other
        self._said: dict[int, float] = {}
        self._ended: KafkaError | None = None
        self._user_error = settings.get("error_cb")
        self._user_commit = settings.get("on_commit")
        self.commit_failed: Callable[[list[TopicPartition]], None] = lambda _: None
        self.position_failed: Callable[[TopicPartition, PositionError], None] = lambda *_: None
        self._inspector = Inspector(settings)
        callbacks = {"error_cb": self._error, "on_commit": self._committed}
        try:
            self._client = Consumer({"logger": librdkafka_log(), **settings, **callbacks})
            self.max_poll_seconds = int(settings.get("max.poll.interval.ms", 300_000)) / 1000
        except (KafkaException, ValueError, TypeError) as error:
            raise refused(error) from error
        self._commits = GroupCommits(self._client)
        self._membership = Membership(self._client, settings)

    def subscribe(
        self, topics: Sequence[str], assigned: Callback, revoked: Callback, lost: Callback
    ) -> None:
        """Join the group; the callbacks run inside ``poll``, on the thread that polls."""

        def on(
            callback: Callback, answer: Callable[[list[KafkaPartition]], None]
        ) -> Callable[[Consumer, list[KafkaPartition]], None]:
            def call(_: Consumer, partitions: list[KafkaPartition]) -> None:
                keys = [TopicPartition(p.topic, p.partition) for p in partitions]
                self._in_callback = get_ident()
                self._membership.is_heard = True
                self._outside_since = time.monotonic() if callback is lost else None
                try:
                    callback(keys)
                finally:
                    self._answer(answer, partitions)
                    self._in_callback = None
                    if callback is not assigned:
                        self._commits.forget(keys)

            return call

        self._membership.begin()
        try:
            self._client.subscribe(
                list(topics),
                on_assign=on(assigned, self._take),
                on_revoke=on(revoked, self._give),
                on_lost=on(lost, self._give),
            )
        except KafkaException as error:
            raise ConfigurationError(
                f"librdkafka refused the topics {list(topics)}: {text(error)}. Nothing was "
                "consumed. A pattern is a POSIX extended regular expression for it."
            ) from error

    def poll(self, messages: int, seconds: float) -> list[RawMessage]:
        """Return what is ready, at most ``messages``; wait up to ``seconds`` only for the first.

        ``Consumer.consume(n, timeout)`` waits for all ``n``; here nothing waits to fill a batch.
        A partition that cannot be fetched from its position is named to ``position_failed``: the
        messages of the others must not be lost with it.
        """
        if self._ended is not None:
            raise _fatal(self._ended)
        self._must_be_in_the_group()
        taken: list[RawMessage] = []
        waited = seconds <= 0
        while len(taken) < messages:
            asked = min(CHUNK, messages - len(taken))
            got, raw = self._consume(asked, 0)
            if not (got or taken or waited):
                waited, asked = True, 1
                got, raw = self._consume(1, seconds)
            taken += raw
            if got < asked:
                break
        return taken

    def _consume(self, messages: int, seconds: float) -> tuple[int, list[RawMessage]]:
        """Return how many came, errors among them, and what is kept of the others."""
        try:
            got = self._client.consume(messages, seconds)
        except KafkaException as error:
            raise self._judge(error.args[0]) or BrokerError(text(error)) from error
        except RuntimeError as error:  # the client is closed
            raise BrokerError(str(error)) from error
        failed = [(said, m) for m in got if (said := m.error()) is not None]
        for told, message in failed:
            if not self._is_about_a_position(told, message):
                judged = self._judge(told)
                if judged is not None:
                    raise judged
        good = [m for m in got if m.error() is None] if failed else got
        return len(got), raw_messages(good)

    def _must_be_in_the_group(self) -> None:
        """Raise ``BrokerError``, for another client, where this one has not found back.

        Seen with librdkafka 2.16: 1. the broker dies, 2. the session times out, 3. the broker is
        back, and the client connects to it, and never asks for the coordinator again. A client that
        has joined and was given nothing is not always told so; it is made anew once, then.
        """
        since, now = self._outside_since, time.monotonic()
        if since is None or now - since < OUTSIDE_SECONDS:
            return
        try:
            self._client.list_topics(timeout=1.0)
        except KafkaException:
            self._outside_since = now  # there is nobody to join
        else:
            raise BrokerError(
                f"The group took our place {now - since:.0f} s ago, and though Kafka answers the "
                "client has not joined again. Nothing was lost; another client takes over."
            )

    def assign(
        self, positions: Mapping[TopicPartition, int], others: Mapping[TopicPartition, int]
    ) -> None:
        """Fetch ``positions`` from these offsets on; ``others`` go on from theirs.

        Not by a seek: that fails after an offset error and on what is not being fetched yet.
        """
        partitions = [KafkaPartition(*key, offset) for key, offset in positions.items()]
        if self._incremental:
            self._give([KafkaPartition(*key) for key in positions])
            self._client.incremental_assign(partitions)
        else:
            rest = [KafkaPartition(*key, offset) for key, offset in others.items()]
            self._client.assign(partitions + rest)
            self.pause([key for key in self._paused if key not in positions])
        self.resume(positions)

    def pause(self, keys: Iterable[TopicPartition]) -> None:
        """Fetch nothing of these partitions for now; what was prefetched is dropped."""
        assigned = {(p.topic, p.partition) for p in self._client.assignment()}
        here = [key for key in keys if key in assigned]
        self._client.pause([KafkaPartition(*key) for key in here])
        self._paused.update(here)

    def resume(self, keys: Iterable[TopicPartition]) -> None:
        """Fetch these partitions again. Never one that is not paused: that would go back.

        One that is not assigned at present is resumed when it is: librdkafka keeps the pause.
        """
        assigned = {(p.topic, p.partition) for p in self._client.assignment()}
        paused = [key for key in keys if key in self._paused and key in assigned]
        self._paused.difference_update(paused)
        self._client.resume([KafkaPartition(*key) for key in paused])

    def assignment(self) -> list[TopicPartition]:
        """Return what is assigned at present."""
        return [TopicPartition(p.topic, p.partition) for p in self._client.assignment()]

    def resolve(self, policies: Mapping[TopicPartition, str | int]) -> dict[TopicPartition, Start]:
        """Turn start policies into offsets; see ``kafka.start``."""
        return start.resolve(self._client, policies)

    def inspect(self, keys: Sequence[TopicPartition]) -> dict[TopicPartition, Sighting]:
        """Ask what Kafka says of these partitions now; see ``kafka.inspector``."""
        return self._inspector.inspect(keys)

    def glance(self, keys: Sequence[TopicPartition]) -> dict[TopicPartition, Sighting] | None:
        """Ask the same without waiting; None until the answer is here."""
        return self._inspector.glance(keys)

    def look_up(self, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, Found | None]:
        """Read the first message at or behind each offset, with a client of its own."""
        return self._inspector.look_up(offsets)

    def commit(self, positions: Mapping[TopicPartition, int], *, wait: bool) -> None:
        """Commit to the group; with ``wait`` raise ``BrokerError`` where Kafka refused.

        Inside a callback there is no waiting: a blocking call ends the state that confluent-kafka
        keeps for the thread, and the next callback of the same poll would abort the process. The
        commit is sent before the request that gives the partitions back, on one connection.
        """
        try:
            if wait and self._in_callback != get_ident():
                self._commits.insist(positions)
            else:
                self._commits.send(positions)
        except KafkaException as error:
            if wait:
                raise BrokerError(
                    f"Kafka did not commit the positions ({text(error)}); the messages since the "
                    "last commit come again."
                ) from error
            self.commit_failed(list(positions))

    def close(self) -> None:
        """See outstanding commits through, and leave the group."""
        for leave in (self._commits.see_through, self._leave, self._client.close):
            try:
                leave()
            except (KafkaException, RuntimeError) as error:
                log.warning("closing the Kafka client: %s", text(error))

    def _leave(self) -> None:
        if self._ended is None:
            self._membership.end()

    # --- answers to rebalances ---------------------------------------------------------------

    def _answer(
        self, answer: Callable[[list[KafkaPartition]], None], partitions: list[KafkaPartition]
    ) -> None:
        """Answer, unless there is nobody left to hear it.

        Seen on a busy machine: 1. the client is closed in the middle of a rebalance, 2. librdkafka
        begins to destroy it, 3. the callback asks for the assignment, and is refused. What a
        callback lets out of that is a bare ``KafkaError``, which no ``except`` catches (2.16).
        """
        try:
            answer(partitions)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._DESTROY:
                raise
            log.info("the Kafka client was closed within a rebalance")

    def _take(self, _: list[KafkaPartition]) -> None:
        """Accept an assignment without fetching: nobody knows yet from where.

        Not by assigning a logical offset and a pause: 1. librdkafka asks the broker for that
        offset, 2. the stored one is assigned, 3. the answer comes late; being outdated, it makes
        librdkafka ask once more and fetch from there. What lies in between would be lost (2.16).
        """
        if self._incremental:
            self._client.incremental_assign([])
        else:
            self._client.assign([])

    def _give(self, partitions: list[KafkaPartition]) -> None:
        """Fetch these no more; what was never fetched is unknown to librdkafka."""
        # What is paused stays so in librdkafka, until ``assign`` resumes it.
        if self._incremental:
            fetched = {(p.topic, p.partition) for p in self._client.assignment()}
            here = [p for p in partitions if (p.topic, p.partition) in fetched]
            self._client.incremental_unassign(here)
        else:
            self._client.unassign()

    # --- errors ------------------------------------------------------------------------------

    def _is_about_a_position(self, error: KafkaError, message: KafkaMessage) -> bool:
        """Whether ``error`` says that a partition cannot be fetched; then it is passed on."""
        key = TopicPartition(message.topic() or "", message.partition() or 0)
        code = error.code()
        if code in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            failed: PositionError = OffsetOutOfRange(
                f"{key}: the stored position lies outside the log ({error.str()}). Nothing was "
                "handled past it. Check the topic's retention, then set the position on purpose.",
                partition=key,
            )
        elif code in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION):
            if key.topic.startswith("^"):
                return True  # a pattern that matches no topic yet
            failed = TopicGone(
                f"{key} does not exist any more; nothing more of it was handled.", partition=key
            )
        else:
            return False
        self.position_failed(key, failed)
        return True

    def _judge(self, error: KafkaError) -> EOConsumerError | None:
        """Return what to raise for ``error``, or None where librdkafka goes on by itself."""
        code = error.code()
        if code == KafkaError._PARTITION_EOF:
            return None
        if code == KafkaError._MAX_POLL_EXCEEDED:
            log.warning(
                "The handler took longer than max.poll.interval.ms; the partitions went to "
                "another consumer and are claimed again. Make it faster or raise the setting."
            )
            return None
        self._error(error)
        return _fatal(error) if _is_the_end(error) else None

    def _error(self, error: KafkaError) -> None:
        """Log once in ten seconds per kind: a broker that is gone reports 20 times a second."""
        if _is_the_end(error):  # raised by the next poll
            self._ended = error
            return
        now = time.monotonic()
        if now - self._said.get(error.code(), -60.0) >= 10:
            self._said[error.code()] = now
            log.warning("Kafka: %s (librdkafka tries again by itself)", error.str())
        if self._user_error is not None:
            self._user_error(error)

    def _committed(self, error: KafkaError | None, partitions: list[KafkaPartition]) -> None:
        failed = self._commits.answered(error, partitions)
        if failed:
            self.commit_failed(failed)
        if self._user_commit is not None:
            self._user_commit(error, partitions)


def _is_the_end(error: KafkaError) -> bool:
    """Whether the client will not fetch again.

    What ends a member in the protocol of KIP-848 comes with a code of its own, and is not marked as
    fatal (2.16).
    """
    return error.fatal() or error.code() in _FORBIDDEN or error.code() == KafkaError._FATAL


def _fatal(error: KafkaError) -> EOConsumerError:
    if _means(error, KafkaError.FENCED_INSTANCE_ID):
        return ConfigurationError(
            "Another consumer has the same group.instance.id, so Kafka ended this one; what it had "
            "in hand was not committed. Give each process an id of its own."
        )
    if any(_means(error, code) for code in _FORBIDDEN):
        return ConfigurationError(
            f"Kafka does not allow its user to consume here ({error.str()}); what was in hand was "
            "not committed. Allow it to Describe and Read the topics, and to Read the group "
            "(kafka-acls --add --consumer --topic ... --group ...)."
        )
    return BrokerError(f"Kafka ended this client for good: {error.str()}.")


def _means(error: KafkaError, code: int) -> bool:
    """Whether ``error`` has this code, or names it where its own only says that it is fatal."""
    return error.code() == code or (
        error.code() == KafkaError._FATAL and KafkaError(code).str() in error.str()
    )
