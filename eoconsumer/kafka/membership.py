"""How a client leaves its group where librdkafka (2.16) alone would leave it waiting."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer

from eoconsumer.kafka.settings import is_broker_side

#: How long to wait for the name that the group gives a member which has just asked to join.
NAMING_SECONDS = 3.0
#: How long after a first heartbeat (KIP-848) its answer is there, if a broker is.
HEARTBEAT_SECONDS = 1.0
#: How long to wait for the end of a rebalance that a leaving member is part of.
LEAVE_SECONDS = 10.0
STEP_SECONDS = 0.02


class Membership:
    """The place of one client in its group, from its subscription to its end."""

    def __init__(self, client: Consumer, settings: Mapping[str, Any]) -> None:
        """Be in no group yet."""
        self._client = client
        self._is_broker_side = is_broker_side(settings)
        self._stays = "group.instance.id" in settings
        self._since: float | None = None
        self.is_heard = False  # the group has given us partitions, or taken some

    def begin(self) -> None:
        """Note that the client asks to join."""
        self._since = time.monotonic()

    def end(self) -> None:
        """Leave a group that has given us nothing; ``close`` alone would not.

        A cooperative member without partitions would end without telling its group, and so would
        one that ends 1. when its request to join was sent, 2. before it was told its share: the
        group would wait for it at each rebalance until its session times out. So it lets the
        rebalance come to its end first. A static member stays in its group on purpose.
        """
        if self._since is None or self._client.assignment():
            return
        if self._is_broker_side:
            self._wait_for_an_epoch(self._since)
        elif not self._stays:
            self._wait_for_a_name()
            self._client.unsubscribe()
            until = time.monotonic() + LEAVE_SECONDS
            while self._client.memberid() and time.monotonic() < until:
                self._client.poll(STEP_SECONDS)

    def _wait_for_a_name(self) -> None:
        """Let the group name us first, if it may be about to: who has no name cannot leave.

        1. A new member asks to join, 2. the broker notes a name for it, and answers (KIP-394), 3.
        the client is closed before it hears that: whoever joins then waits for the noted one, as
        does the whole group, until its session times out.
        """
        until = time.monotonic() + NAMING_SECONDS
        while not self._client.memberid() and time.monotonic() < until:
            time.sleep(STEP_SECONDS)

    def _wait_for_an_epoch(self, since: float) -> None:
        """KIP-848: let the answer to the first heartbeat come; without its epoch nobody leaves.

        1. The broker takes a new member in, and gives it partitions, 2. the client is closed before
        it hears that: they belong to nobody until its session times out. Nothing tells whether the
        answer was there, if it brought no partitions.
        """
        while not self.is_heard and time.monotonic() < since + HEARTBEAT_SECONDS:
            time.sleep(STEP_SECONDS)
