"""Dead letters as documents: nothing of the message is lost, whatever bytes it holds."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bson.errors import InvalidId
from bson.int64 import Int64
from bson.objectid import ObjectId

from eoconsumer.core.letters import LOST, DeadLetter, Failure, Letter, Selection
from eoconsumer.errors import HandlerFailed, LetterGone, StoreError
from eoconsumer.message import Record
from eoconsumer.stores.mongo.concerns import READ_SECONDS, Document
from eoconsumer.stores.mongo.driver import AnyCollection, OwnSession
from eoconsumer.stores.mongo.translation import is_too_large, translated
from eoconsumer.stores.twins import answer

#: A value beyond this is stored as it is, which takes three quarters of the room.
MOST_BASE64 = 8 * 1024 * 1024
#: The order of letters, and the index that has it.
PLACE = ("group", "topic", "partition", "offset", "_id")


class Letters:
    """The dead letters of all groups."""

    def __init__(self, collection: AnyCollection) -> None:
        """Keep them in ``collection``."""
        self.collection = collection

    async def find(self, which: Selection, after: Letter | None, limit: int) -> list[Letter]:
        """Return letters that the majority has, in their order; see the protocol."""
        try:
            wanted = {**_query(which), **({} if after is None else _behind(after))}
        except InvalidId:  # of another store, or mistyped: there is no such letter
            return []
        with translated("read dead letters"):
            cursor = self.collection.find(
                wanted,
                sort=[(field, 1) for field in PLACE],
                limit=limit,
                max_time_ms=int(READ_SECONDS * 1000),
                allow_disk_use=True,  # a collection of an older version has a shorter index
            )
            return [_letter(found) for found in await answer(cursor.to_list())]

    async def add(self, group: str, letters: Sequence[DeadLetter], session: OwnSession) -> None:
        """Write ``letters``; raises ``HandlerFailed`` for one that no document can hold."""
        documents = [_document(group, letter) for letter in letters]
        try:
            with translated("write dead letters"):
                await answer(self.collection.insert_many(documents, session=session))
        except StoreError as error:
            if not is_too_large(error):
                raise
            largest = max(letters, key=lambda letter: len(letter.message.raw_value or b""))
            raise HandlerFailed(
                f"{largest.message!r} failed for good, and is too large for a dead letter: a "
                "document of MongoDB holds 16 MB. It was not buried, and its offset was not "
                'committed. Mend the handler or the message, or set on_poison="skip".'
            ) from largest.error

    async def remove(self, letter: Letter, session: OwnSession) -> None:
        """Remove ``letter``; raises ``LetterGone``, or meets a write conflict."""
        with translated("remove a dead letter"):
            removed = await answer(
                self.collection.delete_one({"_id": ObjectId(letter.id)}, session=session)
            )
        if not removed.deleted_count:
            raise LetterGone(f"The dead letter {letter} is gone: it was applied or dropped.")

    async def note_failure(self, letter: Letter, error: BaseException, session: OwnSession) -> None:
        """Note one more attempt, and its error."""
        with translated("update a dead letter"):
            await answer(
                self.collection.update_one(
                    {"_id": ObjectId(letter.id)},
                    {"$set": {"error": _failure(error)}, "$inc": {"attempts": 1}},
                    session=session,
                )
            )


def base64(data: bytes | None) -> str | None:
    """Return ``data`` as it lies in a document."""
    return None if data is None else b64encode(data).decode("ascii")


def _document(group: str, letter: DeadLetter) -> Document:
    """Return the document for ``letter``: bytes as base64, what is None stays None."""
    message, headers = letter.message, letter.headers
    timestamp = message.timestamp
    return {
        "group": group,
        "topic": message.topic,
        "partition": message.partition,
        "offset": Int64(message.offset),
        "timestamp": None if timestamp is None else Int64(timestamp),
        "key": base64(message.raw_key),
        "value": _value(message.raw_value),
        "headers": None
        if headers is None
        else [[_text(name), base64(value)] for name, value in headers],
        "error": _failure(letter.error),
        "attempts": letter.attempts,
        "buried_at": datetime.now(UTC),
    }


def _letter(document: Mapping[str, Any]) -> Letter:
    """Return what ``document`` says; bytes are what they were in Kafka."""
    timestamp, error = document["timestamp"], document["error"]
    record = Record(
        document["topic"],
        document["partition"],
        int(document["offset"]),
        _bytes(document["value"]),
        _bytes(document["key"]),
        LOST
        if document["headers"] is None
        else tuple((name, _bytes(value)) for name, value in document["headers"]),
        None if timestamp is None else int(timestamp),
    )
    return Letter(
        str(document["_id"]),
        document["group"],
        record,
        Failure(error["type"], error["text"], error["traceback"]),
        document["attempts"],
        document["buried_at"].replace(tzinfo=UTC),
    )


def _query(which: Selection) -> Document:
    values = (which.group, which.topic, which.partition, which.offset)
    wanted = {f: value for f, value in zip(PLACE, values, strict=False) if value is not None}
    return wanted if which.id is None else {**wanted, "_id": ObjectId(which.id)}


def _behind(letter: Letter) -> Document:
    """Return what matches every place behind ``letter``, field by field."""
    values = (letter.group, *letter.partition, letter.offset, ObjectId(letter.id))
    equal = dict(zip(PLACE, values, strict=True))
    return {
        "$or": [
            {**{f: equal[f] for f in PLACE[:number]}, field: {"$gt": equal[field]}}
            for number, field in enumerate(PLACE)
        ]
    }


def _failure(error: BaseException) -> Document:
    failure = Failure.of(error)
    return {
        "type": _text(failure.type),
        "text": _text(failure.text),
        "traceback": _text(failure.traceback),
    }


def _value(data: bytes | None) -> str | bytes | None:
    return base64(data) if data is None or len(data) <= MOST_BASE64 else data


def _bytes(stored: str | bytes | None) -> bytes | None:
    return b64decode(stored) if isinstance(stored, str) else stored


def _text(text: str) -> str:
    """Return ``text`` so that BSON can hold it: lone surrogates become escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
