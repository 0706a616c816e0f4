"""What a handler sees of a message."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoconsumer.errors import DecodeError
from eoconsumer.message import (
    EPOCH,
    HEADERS,
    KEY,
    OFFSET,
    PAYLOAD,
    TIMESTAMP,
    TOPIC,
    Message,
    Messages,
    Record,
    TopicPartition,
    Undecoded,
    UndecodedMessage,
    place,
)

RECORD = Record("orders", 3, 41, b'{"card": "4111"}', b"k", (("a", b"1"), ("b", None)), 1_700)


def test_a_message_shows_place_time_key_value_and_headers() -> None:
    message = Message(RECORD, {"card": "4111"})
    assert (message.topic, message.partition, message.offset) == ("orders", 3, 41)
    assert (message.key, message.raw_key) == (b"k", b"k")
    assert (message.value, message.raw_value) == ({"card": "4111"}, b'{"card": "4111"}')
    assert message.timestamp == 1_700


@pytest.mark.parametrize(
    "field", ["topic", "partition", "offset", "timestamp", "key", "value", "headers", "raw_value"]
)
def test_a_message_cannot_be_changed(field: str) -> None:
    message = Message(RECORD, None)
    with pytest.raises(AttributeError):
        setattr(message, field, "changed")


def test_a_message_takes_no_new_attributes() -> None:
    with pytest.raises(AttributeError):
        Message(RECORD, None).note = "mine"  # type: ignore[attr-defined]  # refused, as it must be


def test_the_repr_names_the_place_and_never_the_payload() -> None:
    assert repr(Message(RECORD, {"card": "4111"})) == "Message(orders[3]@41)"


@given(st.lists(st.tuples(st.text(max_size=3), st.one_of(st.none(), st.binary(max_size=3)))))
def test_headers_keep_their_order_their_duplicates_and_their_nulls(
    headers: list[tuple[str, bytes | None]],
) -> None:
    assert Message(Record("t", 0, 0, header_list=tuple(headers)), None).headers == tuple(headers)


def test_a_record_has_its_fields_where_a_message_looks_for_them() -> None:
    record = Record("t", 1, 2, b"3", b"4", (("5", None),), 6, 7)
    assert record[TOPIC : OFFSET + 1] == ("t", 1, 2)
    assert (record[PAYLOAD], record[KEY], record[HEADERS]) == (b"3", b"4", (("5", None),))
    assert (record[TIMESTAMP], record[EPOCH]) == (6, 7)
    assert (record.timestamp_ms, record.epoch_number) == (6, 7)
    assert place(record) == ("t", 1)


def test_headers_may_be_given_as_a_list() -> None:
    given: Any = [("a", b"1")]
    assert Message(Record("t", 0, 0, header_list=given), None).headers == (("a", b"1"),)


def test_a_tombstone_is_not_an_empty_value() -> None:
    assert Message(Record("t", 0, 0, None), None).raw_value is None
    assert Message(Record("t", 0, 0, b""), b"").raw_value == b""


def test_a_key_that_is_missing_is_not_an_empty_key() -> None:
    assert Message(Record("t", 0, 0), None).key is None
    assert Message(Record("t", 0, 0, key_bytes=b""), None).key == b""


def test_a_message_without_a_timestamp_has_none() -> None:
    assert Message(Record("t", 0, 0), None).timestamp is None
    assert Message(Record("t", 0, 0, timestamp_ms=0), None).timestamp == 0


def test_a_message_that_was_not_decoded_raises_only_when_its_value_is_asked_for() -> None:
    message = UndecodedMessage(RECORD, ValueError("card 4111 is no JSON"))
    assert (message.offset, message.raw_value) == (41, b'{"card": "4111"}')
    with pytest.raises(DecodeError, match=r"orders\[3\]@41 could not be decoded") as caught:
        _ = message.value
    assert "4111" not in str(caught.value), "payloads have no business in logs"


def test_a_partition_equals_the_plain_pair_and_shows_as_kafka_writes_it() -> None:
    key = TopicPartition("orders", 3)
    assert key == ("orders", 3)
    assert f"{key}" == "orders[3]"


def row(offsets: list[int], undecoded: int | None = None) -> Messages:
    failed = Undecoded(ValueError())
    values = [failed if offset == undecoded else offset for offset in offsets]
    return Messages([Record("orders", 3, offset, b"x" * offset) for offset in offsets], values)


OFFSETS = st.lists(st.integers(0, 50), unique=True).map(sorted)


@given(OFFSETS, st.slices(50), st.integers(0, 60))
def test_messages_in_a_row_are_a_sequence_of_views(
    offsets: list[int], part: slice, behind: int
) -> None:
    messages = row(offsets)
    assert [m.offset for m in messages] == [m.value for m in messages] == offsets
    assert [m.offset for m in messages[part]] == offsets[part]
    assert [messages[n].offset for n in range(len(messages))] == offsets
    assert messages.sizes() == offsets
    assert messages.before(behind) == sum(offset < behind for offset in offsets)


@given(st.lists(st.integers(0, 9)), st.integers(0, 9))
def test_of_messages_that_come_twice_those_are_kept_that_go_on(
    offsets: list[int], least: int
) -> None:
    kept = [m.value for m in row(offsets).growing(least)]
    assert kept == sorted({*kept}), "each once, in order"
    assert set(kept) <= {offset for offset in offsets if offset >= least}
    best = least - 1
    assert kept == [best := offset for offset in offsets if offset > best]


@given(OFFSETS, OFFSETS, st.integers(0, 50))
def test_messages_are_added_behind_and_let_go_from_the_front(
    some: list[int], more: list[int], count: int
) -> None:
    messages = row(some)
    messages.extend(row(more))
    messages.drop(count)
    assert [m.value for m in messages] == (some + more)[count:]


@pytest.mark.parametrize("added", [[], [1, 2, 3]])
def test_a_message_without_a_value_says_so_wherever_it_came_from(added: list[int]) -> None:
    messages = Messages.of(list(row(added)))
    messages.extend(Messages.of(list(row([4, 5, 6], undecoded=5))))
    assert [m.value for m in messages if m.offset != 5] == [*added, 4, 6]
    for message in (messages[-2], messages[len(added) :][1]):
        with pytest.raises(DecodeError):
            _ = message.value


def test_no_view_is_kept() -> None:
    messages = row([1])
    assert messages[0] is not messages[0]


def test_views_of_one_message_are_equal_and_find_each_other() -> None:
    messages, same = row([1, 2], undecoded=2), row([1, 2])
    kept = {message: message.offset for message in messages}  # as a handler may
    assert [kept[message] for message in messages] == [1, 2]
    assert messages[1] in messages
    assert messages[0] != messages[1]
    assert messages[0] != same[0], "fetched twice"
    assert messages[0] != (1,)
