"""What can be said about broker and topics before the first message."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from eoconsumer.errors import ConfigurationError
from eoconsumer.kafka.log import librdkafka_log
from eoconsumer.kafka.settings import refused
from eoconsumer.redact import redact_address

#: How long to ask at a time, in seconds: what librdkafka complains of is heard in between only.
AT_A_TIME = 2.0
#: What no waiting mends: the two sides do not agree on TLS, or on who we are.
_REFUSALS = {KafkaError._AUTHENTICATION, KafkaError._SSL}

#: librdkafka's settings that only a consumer takes; an admin client warns about them. Of the
#: callbacks it takes the one that gets a token.
_CONSUMER_ONLY = re.compile(
    r"^(group|isolation|enable\.auto|enable\.partition|auto\.offset|partition\.assign|queued|fetch"
    r"|max\.poll|session|heartbeat|check\.crcs)|(?<!^oauth)_cb$|^on_commit$"
)


def admin(
    settings: Mapping[str, Any], heard: Callable[[KafkaError], None] = lambda _: None
) -> AdminClient:
    """Return an admin client with the settings of a consumer that concern the connection.

    ``heard`` is told, inside of the client's ``poll``, what is wrong with its connections. Raises
    ``ConfigurationError`` for a setting that librdkafka refuses.
    """
    common: dict[str, Any] = {
        name: value for name, value in settings.items() if not _CONSUMER_ONLY.search(name)
    }
    common["error_cb"] = heard
    common.setdefault("logger", librdkafka_log())  # or librdkafka prints to stderr
    try:
        return AdminClient(common)
    except (KafkaException, ValueError, TypeError) as error:
        raise refused(error) from error


def topics(settings: Mapping[str, Any], seconds: float = 10.0) -> dict[str, int]:
    """Return the topics with their number of partitions.

    Raises ``ConfigurationError`` for a setting that librdkafka refuses, where a broker refuses the
    connection, and where none answers within ``seconds``.
    """
    complaints: list[KafkaError] = []
    quiet = {"log_level": 2, **settings}  # the error says it once; the log would at each try
    found = _listed(admin(quiet, complaints.append), settings, complaints, seconds)
    return {name: len(topic.partitions) for name, topic in found.items()}


def topics_exist(settings: Mapping[str, Any], wanted: Sequence[str]) -> None:
    """Raise ``ConfigurationError`` for a topic that is not there; patterns may match later."""
    found = topics(settings)
    missing = [t for t in wanted if not t.startswith("^") and t not in found]
    if not missing:
        return
    names = ", ".join(repr(name) for name in missing)
    servers = redact_address(settings["bootstrap.servers"])
    if _hidden(admin(settings), missing):
        raise ConfigurationError(
            f"The user of Kafka may not see the topic {names} on {servers}. Nothing was consumed. "
            "Allow it to Describe and Read the topic, and to Read the group "
            f"(kafka-acls --add --consumer --topic {missing[0]} --group ...)."
        )
    raise ConfigurationError(
        f"The topic {names} does not exist on {servers}. Nothing was consumed. "
        f"Create it (kafka-topics --create --topic {missing[0]}), or mend topics=."
    )


def _listed(
    client: AdminClient,
    settings: Mapping[str, Any],
    complaints: Sequence[KafkaError],
    seconds: float,
) -> Mapping[str, Any]:
    until = time.monotonic() + seconds
    while True:
        try:
            listed: Mapping[str, Any] = client.list_topics(
                timeout=max(0.01, min(AT_A_TIME, until - time.monotonic()))
            ).topics
        except KafkaException as error:
            client.poll(0.1)
            told = _most_telling(complaints) or error.args[0]
            said = redact_address(told.str())
            servers = redact_address(settings["bootstrap.servers"])
            if told.code() in _REFUSALS:
                raise ConfigurationError(
                    f"TLS or the login failed at {servers} ({said}). Nothing was consumed. "
                    "Check security.protocol, sasl.* and ssl.* in kafka=."
                ) from error
            if time.monotonic() >= until:
                raise ConfigurationError(
                    f"No broker answered at {servers} within {seconds:g} s ({said}). Nothing "
                    "was consumed. Check the address, that the broker runs, and TLS and SASL in "
                    "kafka=."
                ) from error
        else:
            return listed


def _most_telling(complaints: Iterable[KafkaError]) -> KafkaError | None:
    """Return a refusal before what may pass, and that before "all brokers are down"."""
    told = [each for each in complaints if each.code() != KafkaError._ALL_BROKERS_DOWN]
    return next((each for each in told if each.code() in _REFUSALS), told[-1] if told else None)


def _hidden(client: AdminClient, names: Sequence[str]) -> bool:
    """Whether our user may not know of one of the topics ``names``: a list leaves it out.

    librdkafka's mock cluster answers no such question.
    """
    for answer in client.describe_topics(
        TopicCollection(list(names)), request_timeout=AT_A_TIME
    ).values():
        try:
            answer.result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                return True
    return False
