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


def refusing(*codes: int) -> tuple[SimpleNamespace, list[int]]:
    """A client that refuses one commit with each of ``codes``, and takes the next."""
    left, asked = list(codes), []

    def commit(*, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        assert not asynchronous
        asked.append(offsets[0].offset)
        if left:
            raise KafkaException(KafkaError(left.pop(0)))
        return offsets

    return SimpleNamespace(commit=commit), asked


def test_a_commit_that_a_rebalance_refused_is_asked_for_again(source: KafkaSource) -> None:
    rebalances = (KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS)
    source._client, asked = refusing(*rebalances, KafkaError.STALE_MEMBER_EPOCH)
    source.commit({Partition("moves", 0): 7}, wait=True)
    assert asked == [7, 7, 7, 7]


@pytest.mark.parametrize(
    ("code", "seconds"),
    [(KafkaError.UNKNOWN_MEMBER_ID, 2.0), (KafkaError.ILLEGAL_GENERATION, 0.0)],
    ids=["no member", "no end of the rebalance"],
)
def test_what_else_refuses_a_commit_or_for_too_long_is_raised(
    source: KafkaSource, monkeypatch: pytest.MonkeyPatch, code: int, seconds: float
) -> None:
    monkeypatch.setattr("eoconsumer.kafka.source.REBALANCE_SECONDS", seconds)
    source._client, asked = refusing(*[code] * 50)
    with pytest.raises(BrokerError, match="did not commit"):
        source.commit({Partition("moves", 0): 7}, wait=True)
    assert len(asked) < 4


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
    told["on_lost"](None, [])
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
