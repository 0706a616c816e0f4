"""What is made of Kafka's answers about a log."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace
from time import monotonic, sleep
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from eoconsumer.core.identity import Sighting
from eoconsumer.core.positions import Identity
from eoconsumer.kafka import inspector
from eoconsumer.kafka.check import admin
from eoconsumer.kafka.inspector import Inspector, Question
from eoconsumer.message import TopicPartition

KEY = TopicPartition("moves", 0)
HERE = Identity("topic", "cluster")


def answered(**fields: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(SimpleNamespace(**fields))
    return future


def end(offset: int) -> Future[Any]:
    return answered(offset=offset, leader_epoch=3)


def refused(code: int) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(KafkaException(KafkaError(code)))
    return future


def sighting(low: Future[Any], high: Future[Any]) -> Sighting:
    question = Question(
        answered(cluster_id="cluster"),
        {"moves": answered(topic_id="topic")},
        {KEY: low},
        {KEY: high},
    )
    return question.answer(0)[KEY]


def test_the_end_of_a_log_is_told_and_a_broker_that_does_not_answer_is_no_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = {"group.id": "ledger", "allow.auto.create.topics": True}
    empty = Inspector({**client, "test.mock.num.brokers": 1})
    assert empty.look_up({KEY: 0}) == {KEY: None}

    monkeypatch.setattr(inspector, "SECONDS", 0.2)
    nobody = Inspector({**client, "bootstrap.servers": "127.0.0.1:1"})
    assert nobody.look_up({KEY: 0}) == {}


def test_both_ends_of_a_log_are_told() -> None:
    assert sighting(end(0), end(7)) == Sighting(HERE, 0, 7, 3)


@pytest.mark.requirement("N6")
@pytest.mark.parametrize(
    ("low", "high"),
    [
        pytest.param(end(0), end(-1001), id="no end yet"),
        pytest.param(end(-1001), end(7), id="no start yet"),
        pytest.param(end(0), refused(KafkaError.LEADER_NOT_AVAILABLE), id="no leader"),
        pytest.param(end(0), Future(), id="no answer"),
    ],
)
def test_an_end_that_is_not_told_is_unknown_and_never_a_place(
    low: Future[Any], high: Future[Any]
) -> None:
    assert sighting(low, high) == Sighting(HERE)


@pytest.mark.requirement("N6")
@pytest.mark.parametrize("answers", ["refused", "lost"])
def test_after_a_glance_without_an_answer_another_client_is_asked(
    monkeypatch: pytest.MonkeyPatch, answers: str
) -> None:
    clients: list[object] = []
    lost: Question = Question(Future(), {"moves": Future()}, {KEY: Future()}, {KEY: Future()})

    def connect(settings: Mapping[str, Any]) -> Any:
        clients.append(settings)
        return admin(settings)

    monkeypatch.setattr(inspector, "SECONDS", 0.1)
    monkeypatch.setattr(inspector, "admin", connect)
    nobody = Inspector({"group.id": "ledger", "bootstrap.servers": "127.0.0.1:1"})
    if answers == "lost":
        monkeypatch.setattr(
            inspector, "Question", lambda *_: replace(lost, until=monotonic() + 0.2)
        )
    for asked in (1, 2):
        while (seen := nobody.glance([KEY])) is None:
            sleep(0.01)
        assert seen == {}
        assert len(clients) == asked
