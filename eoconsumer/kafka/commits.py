"""The positions that one client commits to its group, until the group has taken them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from eoconsumer.message import TopicPartition

Offsets = Mapping[TopicPartition, int]

#: How long to ask again for a commit that a rebalance has refused.
REBALANCE_SECONDS = 2.0
_REBALANCES = {
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.STALE_MEMBER_EPOCH,
}


class GroupCommits:
    """Commits with and without waiting; every call may raise ``KafkaException``."""

    def __init__(self, client: Consumer) -> None:
        """Commit with ``client``; its ``on_commit`` is to be told to ``answered``."""
        self._client = client
        self._unanswered: dict[TopicPartition, int] = {}  # the last position that was sent
        self._refused: dict[TopicPartition, int] = {}  # by a rebalance; not sent again since

    def send(self, offsets: Offsets) -> None:
        """Commit without waiting."""
        self._client.commit(offsets=_named(offsets), asynchronous=True)
        self.forget(offsets)
        self._unanswered.update(offsets)

    def insist(self, offsets: Offsets) -> None:
        """Commit and wait; ask again while a rebalance takes its course.

        The client has joined anew, in its own thread, and asks with the generation from before: the
        partitions are ours as long as no callback has taken them, so the next generation may ask.
        """
        self.forget(offsets)  # what was sent before is older
        until = time.monotonic() + REBALANCE_SECONDS
        while True:
            try:
                answers = self._client.commit(offsets=_named(offsets), asynchronous=False)
                for answer in answers or []:
                    if answer.error is not None:
                        raise KafkaException(answer.error)
            except KafkaException as error:
                code = cast(KafkaError, error.args[0]).code()
                if code not in _REBALANCES or time.monotonic() > until:
                    raise
                time.sleep(0.05)
            else:
                return

    def answered(
        self, error: KafkaError | None, partitions: Sequence[KafkaPartition]
    ) -> list[TopicPartition]:
        """Take Kafka's answer to what was sent; return the partitions that were refused."""
        failed = []
        for partition in partitions:
            key = TopicPartition(partition.topic, partition.partition)
            refusal = error or partition.error
            if refusal is not None:
                failed.append(key)
            if self._unanswered.get(key) == partition.offset:  # else a later one is on its way
                del self._unanswered[key]
                if refusal is not None and refusal.code() in _REBALANCES:
                    self._refused[key] = partition.offset
        return failed

    def forget(self, keys: Iterable[TopicPartition]) -> None:
        """Care no more for what was sent of ``keys``: another client commits them now."""
        for key in keys:
            self._unanswered.pop(key, None)
            self._refused.pop(key, None)

    def see_through(self) -> None:
        """Before the client leaves: wait for the answers, and insist on what a rebalance refused.

        ``Consumer.close`` waits too, but takes any answer: 1. the last position is sent, 2. another
        member has joined or left, and the broker refuses the generation that it was sent with,
        3. this client leaves, and the group keeps an older position until the next claim.
        """
        until = time.monotonic() + REBALANCE_SECONDS
        while self._unanswered and time.monotonic() < until:
            self._client.poll(0.02)  # nobody wants its messages any more
        if self._refused:
            self.insist(dict(self._refused))


def _named(offsets: Offsets) -> list[KafkaPartition]:
    return [KafkaPartition(*key, offset) for key, offset in offsets.items()]
