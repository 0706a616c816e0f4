"""Dead letters in MongoDB: whatever a message holds, it is stored, and can be read back."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import pytest
from mongo_stores import fresh_store

from eoconsumer.core.letters import EVERY_LETTER, DeadLetter
from eoconsumer.errors import HandlerFailed
from eoconsumer.message import Message, Record
from eoconsumer.servers import MongoReplicaSet
from eoconsumer.stores.mongo import MongoStore


@pytest.fixture
def store(mongo_replica_set: MongoReplicaSet) -> Iterator[MongoStore]:
    with fresh_store(mongo_replica_set) as store:
        yield store


def buried(store: MongoStore, record: Record, error: BaseException) -> dict[str, Any]:
    store.open("ledger", "first").bury([DeadLetter(Message(record, record.payload), error, 3)])
    found = store.database["eoconsumer_dead_letters"].find_one({})
    assert found is not None
    return found


def raised(text: str) -> ValueError:
    try:
        raise ValueError(text)
    except ValueError as error:
        return error


def test_a_dead_letter_holds_the_message_byte_by_byte_its_place_and_its_error(
    store: MongoStore,
) -> None:
    headers = (("trace", b"\xff\x00"), ("trace", b""), ("empty", None))
    record = Record("orders", 3, 2**40, b"\x00\xfe", b"key", headers, 1_700_000_000_000)

    letter = buried(store, record, raised("no such item"))

    assert (letter["group"], letter["topic"], letter["partition"]) == ("ledger", "orders", 3)
    assert (letter["offset"], letter["timestamp"]) == (2**40, 1_700_000_000_000)
    assert (b64decode(letter["key"]), b64decode(letter["value"])) == (b"key", b"\x00\xfe")
    assert letter["headers"] == [["trace", "/wA="], ["trace", ""], ["empty", None]]
    assert letter["error"]["type"] == "builtins.ValueError"
    assert letter["error"]["text"] == "no such item"
    assert "in raised" in letter["error"]["traceback"]
    assert letter["attempts"] == 3
    assert letter["buried_at"] is not None


def test_what_is_none_stays_none_and_what_is_empty_stays_empty(store: MongoStore) -> None:
    letter = buried(store, Record("orders", 0, 1, payload=None, key_bytes=b""), raised(""))

    assert (letter["value"], letter["key"], letter["timestamp"]) == (None, "", None)


def test_a_value_of_fifteen_megabytes_is_stored_and_can_be_read_back(store: MongoStore) -> None:
    value = b"\xfe" * 15_000_000

    buried(store, Record("orders", 0, 1, value, b"key"), raised("too much"))

    [letter] = store.letters(EVERY_LETTER, None, 10)
    assert (letter.record.payload, letter.record.key_bytes) == (value, b"key")


def test_a_message_that_no_document_can_hold_is_not_buried_and_told_at_once(
    store: MongoStore,
) -> None:
    with pytest.raises(HandlerFailed, match="too large for a dead letter") as failed:
        buried(store, Record("orders", 0, 1, b"x" * 17_000_000), raised("too much"))

    assert "orders[0]@1" in str(failed.value)
    assert str(failed.value.__cause__) == "too much"
    assert store.letters(EVERY_LETTER, None, 10) == []


@pytest.mark.parametrize("text", ["\udc80 lone", "nul \x00", "$where", "😀", "x" * 20_000_000])
def test_an_error_with_any_text_can_be_stored(store: MongoStore, text: str) -> None:
    letter = buried(store, Record("orders", 0, 1, b"{}"), raised(text))

    assert letter["error"]["text"].startswith(text[:5].replace("\udc80", "\\udc80"))
