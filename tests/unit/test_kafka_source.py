"""The Kafka client of one reader: what it polls, and where it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from eoconsumer.core.modes import Mode
from eoconsumer.errors import BrokerError, ConfigurationError
from eoconsumer.kafka import KafkaSource, client_settings
from eoconsumer.kafka.source import CHUNK
from eoconsumer.message import OFFSET
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


class Scripted:
    """A client whose calls of ``consume`` are answered in turn; then there is nothing more."""

    def __init__(self, *answers: Sequence[Message] | Exception) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[int, float]] = []

    def consume(self, messages: int, seconds: float) -> Sequence[Message]:
        self.asked.append((messages, seconds))
        answer = self._answers.pop(0) if self._answers else []
        if isinstance(answer, Exception):
            raise answer
        assert len(answer) <= messages
        return answer


def messages(*offsets: int) -> list[Message]:
    return [Message("moves", 0, offset, value=b"%d" % offset) for offset in offsets]


def event(code: int) -> Message:
    return Message("moves", 0, 7, error=KafkaError(code))


EOF, GONE, FATAL = KafkaError._PARTITION_EOF, KafkaError._AUTO_OFFSET_RESET, KafkaError._FATAL


def polled(
    source: KafkaSource, client: Scripted, count: int = 1_000, seconds: float = 0.2
) -> list[int]:
    source._client = client
    return [raw[OFFSET] for raw in source.poll(count, seconds)]


def test_a_poll_takes_all_that_is_there_and_waits_for_nothing(source: KafkaSource) -> None:
    client = Scripted(messages(*range(CHUNK)), messages(*range(CHUNK, 2 * CHUNK)), messages(900))
    assert polled(source, client) == [*range(2 * CHUNK), 900]
    assert [seconds for _, seconds in client.asked] == [0, 0, 0]


def test_a_poll_takes_no_more_than_it_may(source: KafkaSource) -> None:
    client = Scripted(messages(*range(CHUNK)), messages(*range(CHUNK, CHUNK + 50)))
    assert polled(source, client, CHUNK + 50) == [*range(CHUNK + 50)]
    assert client.asked == [(CHUNK, 0), (50, 0)]


def test_a_poll_waits_for_the_first_message_and_takes_what_comes_with_it(
    source: KafkaSource,
) -> None:
    client = Scripted([], messages(1), messages(2, 3))
    assert polled(source, client) == [1, 2, 3]
    assert client.asked == [(CHUNK, 0), (1, 0.2), (CHUNK, 0)]


@pytest.mark.parametrize(
    "answers", [[], [[], [event(EOF)]], [[event(EOF)]]], ids=["nothing", "waited", "at once"]
)
def test_a_poll_without_a_message_waits_once_at_most(
    answers: list[list[Message]], source: KafkaSource
) -> None:
    client = Scripted(*answers, [], [], [event(EOF)])
    assert polled(source, client) == []
    assert sum(seconds > 0 for _, seconds in client.asked) <= 1


def test_a_poll_that_must_not_wait_does_not(source: KafkaSource) -> None:
    client = Scripted()
    assert polled(source, client, seconds=0) == []
    assert client.asked == [(CHUNK, 0)]


def test_a_partition_that_cannot_be_fetched_takes_no_message_with_it(source: KafkaSource) -> None:
    failed: list[Partition] = []
    source.position_failed = lambda key, _: failed.append(key)
    some = messages(*range(CHUNK - 1))
    client = Scripted([*some[:9], event(GONE), *some[9:]], messages(300))
    assert polled(source, client) == [*range(CHUNK - 1), 300]
    assert failed == [("moves", 0)]


@pytest.mark.parametrize("end", [[event(FATAL)], KafkaException(KafkaError(FATAL))])
def test_a_client_that_ends_in_the_middle_of_a_poll_ends_the_poll(
    end: list[Message] | Exception, source: KafkaSource
) -> None:
    with pytest.raises(BrokerError):
        polled(source, Scripted(messages(*range(CHUNK)), end))


@pytest.mark.parametrize("code", [FATAL, KafkaError.TOPIC_AUTHORIZATION_FAILED])
def test_what_ends_a_client_is_raised_by_every_poll_after_it(
    code: int, source: KafkaSource
) -> None:
    client = Scripted([event(code)])
    for _ in range(2):  # the first may be a poll of the keep-alive, on its own thread
        with pytest.raises((BrokerError, ConfigurationError)):
            polled(source, client)


def test_a_pattern_that_librdkafka_refuses_is_a_mistake_in_the_settings() -> None:
    source = KafkaSource(client_settings("127.0.0.1:1", "group", Mode.EXACTLY_ONCE, {}))
    with pytest.raises(ConfigurationError, match=r"refused the topics \['\^\(\?=a\)b'\]"):
        source.subscribe(["^(?=a)b"], lambda _: None, lambda _: None, lambda _: None)
    source._client.close()
