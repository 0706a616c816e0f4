"""The Kafka client of one reader, where it ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError, KafkaException

from eoconsumer.core.modes import Mode
from eoconsumer.kafka import KafkaSource, client_settings


@pytest.fixture
def source() -> KafkaSource:
    return KafkaSource(client_settings("127.0.0.1:1", "group", Mode.EXACTLY_ONCE, {}))


def failing(code: int) -> Callable[[object], None]:
    def answer(_: object) -> None:
        raise KafkaException(KafkaError(code))

    return answer


def test_a_rebalance_that_meets_a_client_which_is_being_destroyed_is_over(
    source: KafkaSource,
) -> None:
    source._answer(failing(KafkaError._DESTROY), [])


def test_what_else_fails_in_a_rebalance_is_raised(source: KafkaSource) -> None:
    with pytest.raises(KafkaException):
        source._answer(failing(KafkaError._STATE), [])
