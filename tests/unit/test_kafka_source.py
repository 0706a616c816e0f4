"""The Kafka client of one reader, where it ends."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from eoconsumer.core.modes import Mode
from eoconsumer.errors import BrokerError
from eoconsumer.kafka import KafkaSource, client_settings
from eoconsumer.message import TopicPartition as Partition


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


def test_it_leaves_its_group_when_the_last_commits_are_through(source: KafkaSource) -> None:
    done: list[str] = []
    source._client = SimpleNamespace(
        assignment=lambda: ["moves"], close=lambda: done.append("left"), memberid=str
    )
    source._commits = SimpleNamespace(see_through=lambda: done.append("seen through"))
    source.close()
    assert done == ["seen through", "left"]


def lose_the_place(source: KafkaSource, *, broker: bool) -> Callable[..., None]:
    """Tell that the place in the group is lost; return how to tell that there is another."""
    told: dict[str, Callable[..., None]] = {}

    def list_topics(**_: float) -> None:
        if not broker:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    def done(*_: object, **__: object) -> list[object]:
        return []

    source._client = SimpleNamespace(
        subscribe=lambda _, **callbacks: told.update(callbacks),
        consume=done,
        list_topics=list_topics,
        assignment=done,
        assign=done,
        pause=done,
        unassign=done,
        incremental_unassign=done,
        incremental_assign=done,
    )
    source.subscribe(["moves"], done, done, lambda _: None)
    told["on_lost"](None, [TopicPartition("moves", 0)])
    return told["on_assign"]


def test_a_client_that_does_not_find_back_into_its_group_is_given_up(
    source: KafkaSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_the_place(source, broker=True)
    assert source.poll(1, 0) == []
    monkeypatch.setattr("eoconsumer.kafka.source.OUTSIDE_SECONDS", 0.0)
    with pytest.raises(BrokerError, match="has not joined again"):
        source.poll(1, 0)


@pytest.mark.parametrize("broker", [True, False], ids=["joined again", "no broker"])
def test_a_client_is_kept_that_has_found_back_or_has_no_broker_to_ask(
    source: KafkaSource, monkeypatch: pytest.MonkeyPatch, broker: bool
) -> None:
    monkeypatch.setattr("eoconsumer.kafka.source.OUTSIDE_SECONDS", 0.0)
    joined = lose_the_place(source, broker=broker)
    if broker:
        joined(None, [])
    assert source.poll(1, 0) == []


def test_what_was_committed_of_lost_partitions_is_not_committed_again(source: KafkaSource) -> None:
    forgotten: list[Partition] = []
    source._commits = SimpleNamespace(forget=forgotten.extend)
    joined = lose_the_place(source, broker=True)
    joined(None, [TopicPartition("moves", 1)])
    assert forgotten == [Partition("moves", 0)]
