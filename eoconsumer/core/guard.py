"""Nothing is fetched before its position is known to fit the log, or where to go on instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eoconsumer.core import identity
from eoconsumer.core.effects import Effects, Inspect, LookUp, Report
from eoconsumer.core.identity import Found, Sighting
from eoconsumer.core.looking import LastBefore
from eoconsumer.core.partition import Partition
from eoconsumer.core.positions import Position
from eoconsumer.core.settings import Settings
from eoconsumer.errors import BrokerError, OffsetOutOfRange, PositionError
from eoconsumer.message import TopicPartition

Wanted = Mapping[TopicPartition, Position]
Sightings = Mapping[TopicPartition, Sighting]

#: After so many look-ups that Kafka left unanswered in part, a claim asks no more: each takes
#: seconds, in which nothing else is handled.
SILENCES = 3


@dataclass(frozen=True, slots=True)
class Checked:
    """From where a partition may be fetched; ``error`` is what the settings pass over.

    ``anew``: what lanes have done beyond the position counts no more, since it is not known to be
    of this log.
    """

    position: Position
    error: PositionError | None
    anew: bool = False


class Guard:
    """Holds the positions of a reader's partitions against what Kafka says."""

    def __init__(self, settings: Settings) -> None:
        """Own nothing yet."""
        self.settings = settings
        self.partitions: dict[TopicPartition, Partition] = {}
        self.absent: set[TopicPartition] = set()  # their topic was not there at the last look

    def check(self, wanted: Wanted) -> Effects[dict[TopicPartition, Checked]]:
        """Return from where each may be fetched; left out is what Kafka does not tell of now.

        Raises ``PositionError`` where a position does not fit and the settings say to stop.
        """
        seen: Sightings = yield Inspect(tuple(wanted))
        searches = yield from self._look_up(wanted, seen)
        results = {}
        for key, row in wanted.items():
            sighting = seen.get(key, Sighting())
            search = searches.get(key)
            error = self._wrong(key, row, sighting, search.found if search else None)
            if error is not None and not identity.allowed(error, self.settings):
                raise error
            partition = self.partitions[key]
            position = identity.settled(row, sighting, error)
            if error is None and search and not search.over:
                position = None  # it may be wrong: its last message was not told
            partition.unseen = position is None
            if position is not None:
                partition.identity, partition.last_epoch = position.identity, sighting.leader_epoch
                goes_on = error is None or (
                    isinstance(error, OffsetOutOfRange) and position.next_offset > row.next_offset
                )
                results[key] = Checked(position, error, anew=not goes_on)
        return results

    def _look_up(
        self, wanted: Wanted, seen: Sightings
    ) -> Effects[Mapping[TopicPartition, LastBefore]]:
        """Search for the last message handled, where the partition has had another leader since.

        A search that Kafka does not answer is not over.
        """
        searches = {
            key: LastBefore(row.next_offset, seen[key].low or 0)
            for key, row in wanted.items()
            if key in seen and identity.is_worth_a_look(row, seen[key])
        }
        going, silences = set(searches), 0
        while silences < SILENCES and (
            offsets := {
                key: at
                for key, search in searches.items()
                if key in going and (at := search.question) is not None
            }
        ):
            answers: Mapping[TopicPartition, Found | None] = yield LookUp(offsets)
            going = offsets.keys() & answers.keys()
            silences += going < offsets.keys()
            for key in going:
                searches[key].learn(answers[key])
        return searches

    def _wrong(
        self, key: TopicPartition, row: Position, seen: Sighting, last: Found | None
    ) -> PositionError | None:
        if self.is_gone(key, seen):
            return identity.gone(key)
        return identity.trouble(key, row, seen, last, self.settings.group)

    def is_gone(self, key: TopicPartition, seen: Sighting) -> bool:
        """Whether a second look says so: a broker may not know of a topic yet; and we may wait."""
        again = key in self.absent
        (self.absent.discard if seen.exists else self.absent.add)(key)
        return again and not seen.exists and self.settings.on_identity_change == "stop"

    def pass_over(self, results: Mapping[TopicPartition, Checked]) -> Effects[None]:
        """Tell what the settings passed over; raises ``BrokerError`` where a new client is due."""
        other: PositionError | None = None
        for key, found in results.items():
            error = found.error
            if error is None:
                continue
            details = {"partition": key, "error": error, "position": found.position.next_offset}
            if isinstance(error, identity.OTHER_LOG):
                other = error
                yield Report("identity_changed", details)
            else:
                yield Report("data_lost", {**details, "missing": error.missing})
        if other is not None:
            # A client that knew the topic's former life may wait for its leader for ever: it takes
            # the leader epochs of the new life for old news (librdkafka 2.16).
            raise BrokerError(f"The reader begins anew with another client. {other}") from other
