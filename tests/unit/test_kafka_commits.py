"""Commits to the group: those that a rebalance refuses are asked for again, also at the end."""

from __future__ import annotations

from threading import Thread
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from eoconsumer.core.modes import Mode
from eoconsumer.errors import BrokerError
from eoconsumer.kafka import KafkaSource, client_settings
from eoconsumer.kafka.commits import GroupCommits
from eoconsumer.message import TopicPartition as Partition

REBALANCES = (
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.STALE_MEMBER_EPOCH,
)
P0 = Partition("moves", 0)


class Refusing:
    """A client that refuses one commit with each of ``codes``, and takes the next.

    What it was asked without waiting it answers in ``poll``, one commit at a time.
    """

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.taken: list[int] = []
        self.asked: list[int] = []
        self.late: list[tuple[KafkaError | None, list[TopicPartition]]] = []
        self.commits = GroupCommits(self)  # type: ignore[arg-type]  # what it uses of a client

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        self.asked.append(offsets[0].offset)
        error = KafkaError(self.codes.pop(0)) if self.codes else None
        if error is None:
            self.taken.append(offsets[0].offset)
        if asynchronous:
            self.late.append((error, offsets))
        elif error is not None:
            raise KafkaException(error)
        return offsets

    def poll(self, _: float) -> None:
        if self.late:
            self.failed = self.commits.answered(*self.late.pop(0))


def source(client: Refusing) -> KafkaSource:
    made = KafkaSource(client_settings("127.0.0.1:1", "group", Mode.EXACTLY_ONCE, {}))
    made._commits = client.commits
    return made


def test_a_commit_that_a_rebalance_refused_is_asked_for_again() -> None:
    client = Refusing(*REBALANCES)
    source(client).commit({P0: 7}, wait=True)
    assert (client.asked, client.taken) == ([7, 7, 7, 7], [7])


@pytest.mark.parametrize(
    ("code", "seconds"),
    [(KafkaError.UNKNOWN_MEMBER_ID, 2.0), (KafkaError.ILLEGAL_GENERATION, 0.0)],
    ids=["no member", "no end of the rebalance"],
)
def test_what_else_refuses_a_commit_or_for_too_long_is_raised(
    monkeypatch: pytest.MonkeyPatch, code: int, seconds: float
) -> None:
    monkeypatch.setattr("eoconsumer.kafka.commits.REBALANCE_SECONDS", seconds)
    client = Refusing(*[code] * 50)
    with pytest.raises(BrokerError, match="did not commit"):
        source(client).commit({P0: 7}, wait=True)
    assert len(client.asked) < 4


@pytest.mark.parametrize("code", REBALANCES)
def test_the_last_position_gets_there_though_a_rebalance_meets_the_end(code: int) -> None:
    client = Refusing(code, code)
    client.commits.send({P0: 7})
    client.commits.see_through()
    assert client.failed == [P0]
    assert (client.asked, client.taken) == ([7, 7, 7], [7])


def test_a_refusal_counts_for_the_position_that_was_sent_last_and_no_earlier_one() -> None:
    client = Refusing(KafkaError.ILLEGAL_GENERATION)
    client.commits.send({P0: 5})
    client.commits.send({P0: 7})
    client.commits.see_through()
    assert client.taken == [7]
    client.commits.see_through()
    assert client.asked == [5, 7]


def test_a_position_that_was_sent_again_after_a_refusal_is_not_insisted_upon() -> None:
    client = Refusing(KafkaError.ILLEGAL_GENERATION)
    client.commits.send({P0: 5})
    client.poll(0)
    client.commits.send({P0: 7})
    client.commits.see_through()
    assert client.asked == [5, 7]


@pytest.mark.parametrize("answered", [False, True])
def test_what_another_client_commits_now_is_left_to_it(answered: bool) -> None:
    client = Refusing(KafkaError.ILLEGAL_GENERATION)
    client.commits.send({P0: 7})
    if answered:
        client.poll(0)
    client.commits.forget([P0])
    client.commits.see_through()
    assert client.asked == [7]


def test_the_end_does_not_insist_on_what_is_refused_for_another_reason() -> None:
    client = Refusing(KafkaError.UNKNOWN_MEMBER_ID)
    client.commits.send({P0: 7})
    client.commits.see_through()
    assert client.asked == [7]


def test_the_end_waits_no_longer_than_it_may_for_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eoconsumer.kafka.commits.REBALANCE_SECONDS", 0.05)
    client = Refusing()
    monkeypatch.setattr(client, "poll", lambda _: None)
    client.commits.send({P0: 7})
    client.commits.see_through()
    assert client.asked == [7]


@pytest.mark.parametrize("answered", [False, True])
def test_what_was_refused_is_not_insisted_upon_behind_a_later_commit(answered: bool) -> None:
    client = Refusing(KafkaError.STALE_MEMBER_EPOCH)
    client.commits.send({P0: 10})
    if answered:
        client.poll(0)
    client.commits.insist({P0: 500})
    client.poll(0)
    client.commits.see_through()
    assert client.taken == [500]


def test_only_the_thread_that_is_in_a_callback_does_not_wait_for_its_commit() -> None:
    client = Refusing(KafkaError.ILLEGAL_GENERATION, KafkaError.ILLEGAL_GENERATION)
    both, waits = source(client), list[bool]()
    both._client = SimpleNamespace(
        subscribe=lambda _, **told: waits.append(told["on_revoke"](None, [])),
        unassign=lambda: None,
        assignment=list,
        incremental_unassign=lambda _: None,
    )

    def revoked(_: list[object]) -> None:
        both.commit({P0: 7}, wait=True)  # only sent: the client refuses
        elsewhere = Thread(target=both.commit, args=({P0: 8},), kwargs={"wait": True})
        elsewhere.start()
        elsewhere.join()

    both.subscribe(["moves"], revoked, revoked, revoked)
    assert (client.asked, client.taken) == ([7, 8, 8], [8])
