"""``feed``: a consumer is given messages without Kafka, and works as it would with Kafka."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import BaseModel

from eoconsumer import Consumer, Events, Message, Mode, Record
from eoconsumer.core.retry import RetryPolicy
from eoconsumer.errors import ConfigurationError, DecodeError, HandlerFailed
from eoconsumer.message import TopicPartition
from eoconsumer.stores.memory import MemorySession, MemoryStore
from eoconsumer.testing.feed import Fed, feed


class StockMove(BaseModel):
    item: str
    quantity: int


class Ledger(Consumer):
    """Refuses negative quantities."""

    store: MemoryStore
    topics = "moves"
    group = "ledger"
    value_type = StockMove

    def handle(self, message: Message[StockMove], session: MemorySession) -> None:
        session.append("ledger", (message.offset, message.value.quantity))
        if message.value.quantity < 0:
            raise ValueError("negative")


def make(kind: type[Consumer] = Ledger, store: MemoryStore | None = None, **settings: Any) -> Any:
    return kind("unused:9092", store or MemoryStore(), **settings)


def moves(*quantities: int) -> list[StockMove]:
    return [StockMove(item="tea", quantity=quantity) for quantity in quantities]


def offsets(messages: Sequence[Message[Any]]) -> list[int]:
    return [message.offset for message in messages]


def test_values_are_encoded_decoded_handled_and_committed_in_order() -> None:
    ledger = make()

    fed = feed(ledger, moves(3, 4, 5))

    assert [message.value for message in fed.applied] == moves(3, 4, 5)
    assert ledger.store.tables["ledger"] == [(0, 3), (1, 4), (2, 5)]
    assert (fed.failed, fed.parked, fed.batches, fed.retries) == ([], [], 1, 0)


@pytest.mark.parametrize(
    "value", [b'{"item": "tea", "quantity": 3}', '{"item":"tea","quantity":3}',
              {"item": "tea", "quantity": 3}],
)  # fmt: skip
def test_bytes_text_and_dicts_are_values_too(value: object) -> None:
    (message,) = feed(make(), [value]).applied

    assert message.value == StockMove(item="tea", quantity=3)


def test_a_record_goes_where_it_says_and_is_decoded() -> None:
    payload = json.dumps({"item": "tea", "quantity": 3}).encode()
    record = Record("moves", 2, 41, payload, b"key", (("h", b"1"),), 1_700_000_000_000)

    (message,) = feed(make(), [record]).applied

    assert (message.partition, message.offset, message.key) == (2, 41, b"key")
    assert (message.headers, message.timestamp) == ((("h", b"1"),), 1_700_000_000_000)
    assert message.value.quantity == 3


def test_a_message_made_by_hand_keeps_its_value() -> None:
    move = StockMove(item="tea", quantity=3)

    (message,) = feed(make(), [Message(Record("moves", 0, 41, key_bytes=b"key"), move)]).applied

    assert message.value is move
    assert (message.offset, message.key) == (41, b"key")


def test_a_later_call_goes_on_behind_an_earlier_one() -> None:
    store = MemoryStore()
    feed(make(store=store), moves(3, 4))

    fed = feed(make(store=store), moves(5))

    assert offsets(fed.applied) == [2]
    assert store.tables["ledger"] == [(0, 3), (1, 4), (2, 5)]


@pytest.mark.requirement("S3-08")
def test_a_message_that_comes_again_is_not_applied_again() -> None:
    ledger = make()
    record = Record("moves", 0, 7, moves(3)[0].model_dump_json().encode())

    first, again = feed(ledger, [record]), feed(ledger, [record])

    assert (offsets(first.applied), again) == ([7], Fed())
    assert ledger.store.tables["ledger"] == [(7, 3)]


@pytest.mark.requirement("S3-06")
def test_a_batch_whose_handler_fails_is_rolled_back_and_what_stands_before_it_commits() -> None:
    ledger = make()

    with pytest.raises(HandlerFailed, match=r"moves\[0\]@2 \(3 tries\)") as failed:
        feed(ledger, moves(3, 4, -1, 5))

    assert isinstance(failed.value.__cause__, ValueError)
    assert ledger.store.tables["ledger"] == [(0, 3), (1, 4)]


def test_what_cannot_be_decoded_stops_the_consumer() -> None:
    with pytest.raises(DecodeError, match=r"moves\[0\]@1"):
        feed(make(), [*moves(3), b"{"])


def test_a_skipped_message_is_told_with_its_error_and_its_tries() -> None:
    fed = feed(make(on_poison="skip", retry=RetryPolicy(attempts=2)), moves(3, -1, 5))

    (skipped,) = fed.skipped
    assert (skipped.message.offset, str(skipped.error), skipped.attempts) == (1, "negative", 2)
    assert (offsets(fed.applied), fed.failed, fed.retries) == ([0, 2], [skipped], 1)


def test_a_buried_message_is_a_dead_letter_and_may_be_redriven() -> None:
    class Patient(Ledger):
        allowed = False

        def handle(self, message: Message[StockMove], session: MemorySession) -> None:
            if not self.allowed:
                super().handle(message, session)

    ledger = make(Patient, on_poison="bury")
    fed = feed(ledger, moves(3, -1, 5))
    assert offsets([failed.message for failed in fed.buried]) == [1]
    assert [letter.offset for letter in ledger.store.dead_letters] == [1]

    ledger.allowed = True

    assert ledger.redrive().done == 1


@pytest.mark.requirement("N15")
def test_messages_behind_a_poisoned_one_of_their_key_are_parked() -> None:
    def record(offset: int, key: bytes, quantity: int) -> Record:
        return Record("moves", 0, offset, moves(quantity)[0].model_dump_json().encode(), key)

    fed = feed(
        make(on_poison="quarantine"),
        [record(0, b"a", -1), record(1, b"b", 2), record(2, b"a", 3), record(3, b"b", 4)],
    )

    assert offsets(fed.applied) == [1, 3]
    assert offsets([failed.message for failed in fed.buried]) == [0]
    assert offsets(fed.parked) == [2]


def test_the_tries_of_a_message_are_not_waited_for() -> None:
    began = time.monotonic()

    feed(make(on_poison="skip", retry=RetryPolicy(5, minimum=30, maximum=60)), moves(-1))

    assert time.monotonic() - began < 15


@pytest.mark.requirement("N4")
def test_a_handler_of_runs_is_split_until_one_message_stands_alone() -> None:
    class Runs(Consumer):
        topics = "moves"
        group = "ledger"
        value_type = StockMove
        on_poison = "bury"

        def handle_batch(self, messages: Sequence[Message[StockMove]], session: Any) -> None:
            if any(message.value.quantity < 0 for message in messages):
                raise ValueError("one of them")
            for message in messages:
                session.append("ledger", message.offset)

    ledger = make(Runs)

    fed = feed(ledger, moves(1, 2, 3, -1, 5, 6, 7, 8))

    assert offsets([failed.message for failed in fed.buried]) == [3]
    assert offsets(fed.applied) == [0, 1, 2, 4, 5, 6, 7]
    assert ledger.store.tables["ledger"] == offsets(fed.applied)


@pytest.mark.parametrize("mode", Mode)
def test_each_mode_keeps_its_order(mode: Mode) -> None:
    done = []

    class Told(Ledger):
        def after_commit(self, messages: Sequence[Message[Any]]) -> None:
            done.extend(offsets(messages))

    ledger = make(Told, mode=mode, on_poison="bury")

    fed = feed(ledger, moves(3, -1, 5))

    assert offsets(fed.applied) == done == [0, 2]
    assert offsets([failed.message for failed in fed.buried]) == [1]
    row = ledger.store.open("ledger", "looker").positions([TopicPartition("moves", 0)])
    assert [position.next_offset for position in row.values()] == [3]
    # Outside of a transaction what the handler wrote before it failed stays.
    tries = {Mode.EXACTLY_ONCE: 0, Mode.AT_LEAST_ONCE: 3, Mode.AT_MOST_ONCE: 1}[mode]
    assert [x for x, _ in ledger.store.tables["ledger"]] == [0, *[1] * tries, 2]


def test_a_batch_is_no_larger_than_its_bounds() -> None:
    fed = feed(make(batch_size=2), moves(1, 2, 3, 4, 5))

    assert fed.batches == 3


def test_the_hooks_of_the_consumer_hear_of_it() -> None:
    class Heard(Events):
        committed_messages = 0

        def committed(self, runs: Any, seconds: float) -> None:  # noqa: ARG002 - a hook
            self.committed_messages += sum(map(len, runs))

    heard = Heard()

    feed(make(events=heard), moves(1, 2))

    assert heard.committed_messages == 2


def test_the_handler_runs_on_the_thread_that_feeds() -> None:
    seen = []

    class Here(Ledger):
        def handle(self, *_: Any) -> None:
            seen.append(threading.current_thread())

    feed(make(Here), moves(1))

    assert seen == [threading.current_thread()]


@pytest.mark.parametrize("start", ["latest", "error", "group"])
def test_what_is_fed_is_handled_whatever_the_start(start: str) -> None:
    assert offsets(feed(make(start=start), moves(1, 2)).applied) == [0, 1]


def test_a_consumer_of_many_topics_is_told_which_one_values_are_of() -> None:
    consumer = Consumer("unused:9092", MemoryStore(), group="ledger")
    seen: list[object] = []

    @consumer.on("orders", "^audit-.*")
    def keep(message: Message[bytes], _: MemorySession) -> None:
        seen.append((message.topic, message.partition, message.value))

    with pytest.raises(ConfigurationError, match="Say topic="):
        feed(consumer, [b"1"])
    feed(consumer, [b"1"], topic="audit-1", partition=3)

    assert seen == [("audit-1", 3, b"1")]


def test_a_topic_without_a_handler_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no handler for the topic 'orders'"):
        feed(make(), moves(1), topic="orders")


def test_offsets_that_do_not_grow_are_refused() -> None:
    record = Record("moves", 0, 7, b"{}")

    with pytest.raises(ConfigurationError, match=r"moves\[0\]@7 is fed behind @7"):
        feed(make(), [record, record])


@pytest.mark.parametrize("one", [Record("moves", 0, 7, b"{}"), b"{}", "{}"])
def test_a_single_message_that_is_fed_without_a_list_is_refused(one: Any) -> None:
    with pytest.raises(ConfigurationError, match="Feed a list"):
        feed(make(), one)


def test_no_message_is_nothing_to_do() -> None:
    assert feed(make(), []) == Fed()


def test_thousands_of_messages_of_many_partitions_are_fed() -> None:
    ledger = make()
    payload = moves(1)[0].model_dump_json().encode()
    records = [Record("moves", p, 3 * n, payload) for n in range(1_000) for p in range(4)]

    fed = feed(ledger, records)

    assert len(fed.applied) == 4_000
    for partition in range(4):
        handled = [m.offset for m in fed.applied if m.partition == partition]
        assert handled == [3 * n for n in range(1_000)]
