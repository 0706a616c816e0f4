"""From bytes to values, and which handler a topic belongs to."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel, ValidationError

from eoconsumer import Message, Record
from eoconsumer.codecs import Route, Routes, model_decoder
from eoconsumer.errors import ConfigurationError, DecodeError


class Move(BaseModel):
    item: str
    quantity: Decimal


def handler(*_: object) -> None:
    """Do nothing."""


def route(*topics: str, decode: Any = None) -> Route:
    return Route(topics, "handle", handler, decode)


def view(payload: bytes | None, decode: Any = None) -> Message:
    [message] = route("moves", decode=decode).view([Record("moves", 0, 7, payload)])
    return message


@pytest.mark.parametrize("payload", [b"\x00\xff", b"", None])
def test_without_a_decoder_the_value_is_the_bytes_and_a_tombstone_is_not_empty_bytes(
    payload: bytes | None,
) -> None:
    assert view(payload).value == payload
    assert view(payload).raw_value == payload


def test_a_pydantic_model_is_validated_from_json() -> None:
    message = view(b'{"item": "pear", "quantity": "1.10"}', model_decoder(Move))
    assert message.value == Move(item="pear", quantity=Decimal("1.10"))
    assert message.raw_value == b'{"item": "pear", "quantity": "1.10"}'


def test_any_type_that_pydantic_knows_will_do() -> None:
    assert view(b'{"a": [1, 2]}', model_decoder(dict[str, list[int]])).value == {"a": [1, 2]}


def test_a_tombstone_stays_none_for_a_model() -> None:
    assert view(None, model_decoder(Move)).value is None


@pytest.mark.parametrize("payload", [b"", b"not json", b"{}", b'{"item": "\xff"}'])
def test_what_cannot_be_decoded_raises_where_it_is_looked_at_and_keeps_its_bytes(
    payload: bytes,
) -> None:
    message = view(payload, model_decoder(Move))
    with pytest.raises(DecodeError) as failed:
        _ = message.value
    assert failed.value.offset == 7
    assert isinstance(failed.value.__cause__, ValidationError)
    assert message.raw_value == payload


def test_a_decode_error_does_not_quote_the_payload() -> None:
    message = view(b'{"item": "secret-4711", "quantity": []}', model_decoder(Move))
    with pytest.raises(DecodeError, match=r"moves\[0\]@7 could not be decoded") as failed:
        _ = message.value
    assert "4711" not in str(failed.value)


@pytest.mark.parametrize(
    ("payload", "value"), [(b'{"a": 1}', {"a": 1}), (None, None), (b"[1]", ...), (b"{", ...)]
)
def test_a_plain_dict_is_any_json_object(payload: bytes | None, value: Any) -> None:
    message = view(payload, model_decoder(dict))
    if value is ...:
        with pytest.raises(DecodeError):
            _ = message.value
    else:
        assert message.value == value


def test_a_struct_of_msgspec_is_a_type_of_value_too() -> None:
    class Sold(msgspec.Struct):
        item: str

    assert view(b'{"item": "pear"}', model_decoder(Sold)).value == Sold("pear")
    with pytest.raises(DecodeError):
        _ = view(b'{"item": 1}', model_decoder(Sold)).value


def test_one_bad_message_leaves_the_others_readable() -> None:
    raw = [Record("moves", 0, n, p) for n, p in enumerate([b"1", b"x", b"3"])]
    first, _, third = route("moves", decode=model_decoder(int)).view(raw)
    assert (first.value, third.value) == (1, 3)


def test_a_decoder_sees_the_whole_message() -> None:
    def decode(message: Message[bytes]) -> tuple[object, ...]:
        return message.topic, message.offset, message.key, message.headers, message.value

    record = Record("moves", 0, 7, b"v", b"k", (("type", b"a"), ("type", b"b")))
    [message] = route("moves", decode=decode).view([record])
    assert message.value == ("moves", 7, b"k", (("type", b"a"), ("type", b"b")), b"v")


# --- routes -----------------------------------------------------------------------------------


def test_a_topic_by_name_comes_before_every_pattern() -> None:
    routes, pattern, exact = Routes(), route("^stock-.*"), route("stock-moves")
    routes.add(pattern)
    routes.add(exact)
    assert routes.of("stock-moves") is exact
    assert routes.of("stock-counts") is pattern


def test_of_two_patterns_the_first_that_matches_counts() -> None:
    routes, narrow, wide = Routes(), route("^stock-.*"), route("^.*")
    routes.add(narrow)
    routes.add(wide)
    assert routes.of("stock-moves") is narrow
    assert routes.of("orders") is wide


def test_a_topic_has_one_handler() -> None:
    routes = Routes()
    routes.add(route("orders", "moves"))
    with pytest.raises(ConfigurationError, match="'moves' has a handler already"):
        routes.add(route("moves"))


def test_a_pattern_that_is_none_is_refused_when_it_is_given() -> None:
    with pytest.raises(ConfigurationError, match="is no regular expression"):
        Routes().add(route("^stock-("))


def test_a_topic_that_only_kafka_takes_for_ours_is_an_error_that_says_so() -> None:
    routes = Routes()
    routes.add(route("^stock-"))
    with pytest.raises(ConfigurationError, match="'orders' for one of our topics"):
        routes.of("orders")
