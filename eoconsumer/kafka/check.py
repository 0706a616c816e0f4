"""What can be said about broker and topics before the first message."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from eoconsumer.errors import ConfigurationError
from eoconsumer.kafka.settings import refused, text

log = logging.getLogger("eoconsumer.kafka")

#: librdkafka's settings that only a consumer takes; an admin client warns about them. Of the
#: callbacks it takes the one that gets a token.
_CONSUMER_ONLY = re.compile(
    r"^(group|isolation|enable\.auto|enable\.partition|auto\.offset|partition\.assign|queued|fetch"
    r"|max\.poll|session|heartbeat|check\.crcs)|(?<!^oauth)_cb$|^on_commit$"
)


def admin(settings: Mapping[str, Any]) -> AdminClient:
    """Return an admin client with the settings of a consumer that concern the connection.

    Raises ``ConfigurationError`` for a setting that librdkafka refuses.
    """
    common: dict[str, Any] = {
        name: value for name, value in settings.items() if not _CONSUMER_ONLY.search(name)
    }
    common["error_cb"] = lambda _: None  # what it would say is said by whoever asks
    common.setdefault("logger", log)  # or librdkafka prints to stderr
    try:
        return AdminClient(common)
    except (KafkaException, ValueError, TypeError) as error:
        raise refused(error) from error


def topics(settings: Mapping[str, Any], seconds: float = 10.0) -> dict[str, int]:
    """Return the topics with their number of partitions.

    Raises ``ConfigurationError`` for a setting that librdkafka refuses, and where no broker
    answers within ``seconds``.
    """
    client = admin(settings)
    try:
        found = client.list_topics(timeout=seconds).topics
    except KafkaException as error:
        servers = settings["bootstrap.servers"]
        raise ConfigurationError(
            f"No broker answered at {servers} within {seconds:.0f} s ({text(error)}). Nothing was "
            "consumed. Check the address, that the broker runs, and TLS and SASL in kafka=."
        ) from error
    return {name: len(topic.partitions) for name, topic in found.items()}


def topics_exist(settings: Mapping[str, Any], wanted: Sequence[str]) -> None:
    """Raise ``ConfigurationError`` for a topic that is not there; patterns may match later."""
    found = topics(settings)
    missing = [t for t in wanted if not t.startswith("^") and t not in found]
    if missing:
        names = ", ".join(repr(name) for name in missing)
        raise ConfigurationError(
            f"The topic {names} does not exist on {settings['bootstrap.servers']}. Nothing was "
            f"consumed. Create it (kafka-topics --create --topic {missing[0]}), or mend topics=."
        )
