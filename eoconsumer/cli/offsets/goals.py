"""Where positions are to go, in the words of Kafka's own tool."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from pydantic import TypeAdapter, ValidationError

from eoconsumer.cli.offsets.group import Standing
from eoconsumer.errors import ConfigurationError
from eoconsumer.kafka import GroupAdmin
from eoconsumer.message import TopicPartition

Offsets: TypeAlias = Mapping[TopicPartition, int]
Goal: TypeAlias = Callable[[GroupAdmin, Sequence[Standing]], Offsets]


def earliest(_: GroupAdmin, standings: Sequence[Standing]) -> Offsets:
    """The first message that the log still has."""
    return {each.partition: each.low or 0 for each in standings}


def latest(kafka: GroupAdmin, standings: Sequence[Standing]) -> Offsets:
    """Behind the last message; before one whose Kafka transaction is open, as `start="latest"`."""
    return kafka.latest([each.partition for each in standings])


def exactly(offset: int) -> Goal:
    """This offset, in each partition."""
    return lambda _, standings: {each.partition: offset for each in standings}


def since(moment: datetime) -> Goal:
    """The first message from ``moment`` on; the end where there is none."""

    def goal(kafka: GroupAdmin, standings: Sequence[Standing]) -> Offsets:
        keys = [each.partition for each in standings]
        found = kafka.since(keys, max(0, int(moment.timestamp() * 1000)))  # Kafka has none before
        return {**latest(kafka, standings), **found}

    return goal


def shifted(by: int) -> Goal:
    """So many offsets further, or back; raises ``ConfigurationError`` without a position."""

    def goal(_: GroupAdmin, standings: Sequence[Standing]) -> Offsets:
        stored = {each.partition: each.position for each in standings}
        unknown = ", ".join(str(key) for key, position in stored.items() if position is None)
        if unknown:
            raise ConfigurationError(
                f"{unknown} has no position that could be shifted; nothing was changed. Choose the "
                "partitions with --topic, or set them with --to-offset."
            )
        return {key: position + by for key, position in stored.items() if position is not None}

    return goal


def listed(offsets: Offsets) -> Goal:
    """What a file says."""
    return lambda *_: offsets


def read_csv(lines: Iterable[str]) -> dict[TopicPartition, int]:
    """Return the offsets of lines ``topic,partition,offset``, the format of Kafka's tool.

    Raises ``ConfigurationError`` with the number of a line that is something else, or that names
    a partition again, and for a file that is no text or names no partition.
    """
    try:
        rows = [*csv.reader(lines)]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"The file is no CSV in UTF-8 ({error}); nothing was changed."
        ) from None
    offsets: dict[TopicPartition, int] = {}
    for number, row in enumerate(rows, 1):
        if not row:
            continue
        try:
            topic, partition, offset = row
            key, value = TopicPartition(topic, int(partition)), int(offset)
        except ValueError:
            raise ConfigurationError(
                f"Line {number} of the file is not topic,partition,offset; nothing was changed."
            ) from None
        if key in offsets:
            raise ConfigurationError(
                f"Line {number} of the file names {key} again; nothing was changed."
            )
        offsets[key] = value
    if not offsets:
        raise ConfigurationError("The file names no partition; nothing was changed.")
    return offsets


def moment(text: str) -> datetime:
    """Read an ISO 8601 time; without a zone it is UTC, as in Kafka's tool."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"--to-datetime {text}: {error}. Nothing was changed.") from None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def ago(text: str) -> datetime:
    """Read an ISO 8601 duration, and return the moment that lies so far back."""
    try:
        if not text.startswith("P"):  # pydantic reads other forms, too
            raise ValueError(text)
        return datetime.now(UTC) - TypeAdapter(timedelta).validate_python(text)
    except (ValidationError, ValueError, OverflowError):
        raise ConfigurationError(
            f"--by-duration {text} is no duration such as P7D, PT1H30M or P1DT12H; nothing was "
            "changed."
        ) from None


def within_the_log(standings: Iterable[Standing], offsets: Offsets) -> tuple[Offsets, list[str]]:
    """Shorten ``offsets`` into what each log has; return them, and what is to be said of it."""
    shortened, said = dict(offsets), []
    for each in standings:
        low, end, wanted = each.low or 0, each.end or 0, offsets[each.partition]
        shortened[each.partition] = min(max(wanted, low), end)
        if shortened[each.partition] != wanted:
            said.append(
                f"{each.partition}: {wanted} lies outside the log, which has {low} to {end}; "
                f"{shortened[each.partition]} is taken"
            )
    return shortened, said
