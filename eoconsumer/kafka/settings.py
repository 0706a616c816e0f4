"""The settings of librdkafka: what is refused, what is preset, what passes through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError

from eoconsumer.core.modes import Mode
from eoconsumer.errors import ConfigurationError

_OURS = {
    "group.id": "set group= on the consumer instead",
    "bootstrap.servers": "it is the first argument of the consumer",
    "metadata.broker.list": "the brokers are the first argument of the consumer",
    "auto.offset.reset": "use start= instead: it applies only to a partition never seen, and a "
    "position outside the log is an error, never a silent jump",
    "default.topic.config": "set the properties of consumers directly",
}
_NEVER_TRUE = {
    "enable.auto.commit": "Kafka would commit offsets on a timer, whether or not the work is done",
    "auto.commit.enable": "Kafka would commit offsets on a timer, whether or not the work is done",
    "enable.auto.offset.store": "an offset is stored when the work is done, not when it is read",
}
_TRUE = {"true", "t", "1", "yes", "on"}

_PRESET: dict[str, Any] = {
    "partition.assignment.strategy": "cooperative-sticky",
    "isolation.level": "read_committed",
    # Bounds the memory of one reader; librdkafka's own default is 64 MiB for each consumer.
    "queued.max.messages.kbytes": 16_384,
    # Partitions that are added, and topics that a pattern newly matches, are seen this soon.
    "topic.metadata.refresh.interval.ms": 5_000,
}
_FORCED: dict[str, Any] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
}


def client_settings(
    servers: str, group: str, mode: Mode, user: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the settings of a reader's client: the user's over ours, but for what must hold.

    Raises ``ConfigurationError`` with the reason for a setting that would break the guarantee.
    """
    for name, value in user.items():
        if name in _OURS:
            raise _refused(name, value, _OURS[name])
        if name in _NEVER_TRUE and str(value).strip().lower() in _TRUE:
            raise _refused(name, value, _NEVER_TRUE[name])
    uncommitted = str(user.get("isolation.level", "")).strip().lower() == "read_uncommitted"
    if mode is Mode.EXACTLY_ONCE and uncommitted:
        raise _refused(
            "isolation.level",
            "read_uncommitted",
            "messages of aborted transactions would take effect; leave it at read_committed",
        )
    preset = dict(_PRESET)
    if is_broker_side(user):
        del preset["partition.assignment.strategy"]
    user = {name: value for name, value in user.items() if name != "auto.commit.enable"}
    return preset | user | _FORCED | {"bootstrap.servers": servers, "group.id": group}


def of_reader(settings: Mapping[str, Any], number: int, readers: int) -> dict[str, Any]:
    """Return the settings of reader ``number``: a static member's id belongs to one client."""
    own = dict(settings)
    if readers > 1 and "group.instance.id" in own:
        own["group.instance.id"] = f"{own['group.instance.id']}-{number}"
    return own


def is_incremental(settings: Mapping[str, Any]) -> bool:
    """Whether rebalances take and give single partitions (cooperative, KIP-848) or all at once."""
    strategy = str(settings.get("partition.assignment.strategy", ""))
    return is_broker_side(settings) or "cooperative" in strategy


def is_broker_side(settings: Mapping[str, Any]) -> bool:
    """Whether the broker assigns (KIP-848), and no member has to wait for another."""
    return str(settings.get("group.protocol", "")).lower() == "consumer"


def refused(error: BaseException) -> ConfigurationError:
    """Return what to raise where librdkafka did not take its settings."""
    return ConfigurationError(
        f"librdkafka refused the settings: {text(error)}. Nothing was consumed. See kafka= of this "
        "consumer."
    )


def text(error: BaseException) -> str:
    """Return what ``error`` of confluent-kafka says, without its numbers."""
    first = error.args[0] if error.args else error
    return first.str() if isinstance(first, KafkaError) else str(first)


def _refused(name: str, value: object, reason: str) -> ConfigurationError:
    shown = "" if name in ("bootstrap.servers", "metadata.broker.list") else f"={value}"
    return ConfigurationError(
        f"kafka={{{name!r}: ...}}{shown} is refused: {reason}. Nothing was consumed. Remove it."
    )
