"""Dead letters on a real replica set are applied once, by whoever, and however often."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import Start
from pymongo.database import Database
from trial import EFFECTS, Document, Place, effects

from eoconsumer import Consumer, Message, Record, Redriven, Selection
from eoconsumer.core.letters import DeadLetter
from eoconsumer.stores.mongo import MongoStore

GROUP = "ledger"
pytestmark = [pytest.mark.slow, pytest.mark.requirement("N5")]


class Ledger(Consumer):
    topics = "moves"
    group = GROUP
    poison: frozenset[int] = frozenset()
    together: threading.Barrier | None = None

    def handle(self, message: Message, session: Any) -> None:
        row = {"partition": message.partition, "offset": message.offset, "key": message.key}
        self.store.database[EFFECTS].insert_one(row, session=session)  # type: ignore[attr-defined]  # it is a MongoStore
        if message.offset in self.poison:
            raise ValueError("still no")


def ledger(store: MongoStore, kind: type[Ledger] = Ledger, **settings: Any) -> Ledger:
    return kind("localhost:1", store, **settings)


def bury(store: MongoStore, offsets: Iterable[int]) -> list[Place]:
    """Bury letters with three keys that take turns; return their places."""
    store.setup()
    records = [Record("moves", 0, o, b"\x00\xff", f"key-{o % 3}".encode()) for o in offsets]
    error = ValueError("no")
    session = store.open(GROUP, "burier")
    session.bury([DeadLetter(Message(record, None), error, 3) for record in records])
    session.close()
    return [(0, record.offset_number) for record in records]


def left(store: MongoStore) -> list[int]:
    return [letter.offset for letter in store.letters(Selection(GROUP), None, 1000)]


@pytest.fixture
def another(store_url: str) -> Iterator[MongoStore]:
    opened = MongoStore.connect(store_url)
    yield opened
    opened.close()


def test_letters_that_are_redriven_twice_are_applied_once(
    store: MongoStore, database: Database[Document]
) -> None:
    places = bury(store, range(250))

    assert ledger(store).redrive().done == 250
    assert ledger(store).redrive().done == 0

    assert effects(database) == dict.fromkeys(places, 1)
    assert left(store) == []


def test_a_decoder_and_a_handler_see_what_they_would_have_seen_in_kafka(
    store: MongoStore,
) -> None:
    seen: list[Message] = []
    raw = Record(
        "moves", 7, 2**40, b"\x00\xff", b"\xfe", (("a", b"\xfd"), ("a", b""), ("b", None)), 123_456
    )

    class Decoding(Ledger):
        def decode(self, message: Message) -> bytes | None:
            seen.append(message)
            return message.raw_value and message.raw_value[::-1]

        def handle(self, message: Message, session: Any) -> None:
            assert session.in_transaction
            seen.append(message)

    store.setup()
    store.open(GROUP, "burier").bury([DeadLetter(Message(raw, None), ValueError(), 1)])
    assert ledger(store, Decoding).redrive().done == 1

    for message in seen:
        place = (message.topic, message.partition, message.offset)
        assert place == ("moves", 7, 2**40)
        assert (message.raw_key, message.key) == (b"\xfe", b"\xfe")
        assert message.raw_value == b"\x00\xff"
        assert message.headers == raw.header_list
        assert message.timestamp == 123_456
    assert seen[-1].value == b"\xff\x00"


@pytest.mark.parametrize("form", ["handle", "batch"])
@pytest.mark.parametrize("mode", ["exactly_once", "at_least_once", "at_most_once"])
def test_a_letter_that_fails_again_stays_with_those_of_its_key_behind_it(
    store: MongoStore, database: Database[Document], mode: str, form: Any
) -> None:
    bury(store, range(9))
    consumer = Consumer("localhost:1", store, group=GROUP, mode=mode)

    @consumer.on("moves", form=form)
    def handle(given: Any, session: Any) -> None:
        (message,) = [given] if form == "handle" else given
        ledger(store, type("Failing", (Ledger,), {"poison": {1}})).handle(message, session)

    result = consumer.redrive()

    assert (result.done, result.behind, result.stayed) == (6, 2, 3)
    assert [(str(letter), str(error)) for letter, error in result.failed] == [
        ("moves[0]@1", "still no")
    ]
    assert left(store) == [1, 4, 7]
    failed, *behind = store.letters(Selection(GROUP), None, 10)
    assert (failed.attempts, failed.failure.text) == (4, "still no")
    assert {letter.attempts for letter in behind} == {3}
    doomed = 0 if mode == "exactly_once" else 1
    assert effects(database)[0, 1] == doomed


def test_a_value_that_can_be_decoded_by_now_is_applied(store: MongoStore) -> None:
    bury(store, range(1))

    class Reading(Ledger):
        def handle(self, message: Message, session: Any) -> None:
            assert message.value is not None
            super().handle(message, session)

    broken = ledger(store, type("Broken", (Reading,), {"value_type": dict[str, int]}))
    assert broken.redrive().stayed == 1
    (letter,) = store.letters(Selection(GROUP), None, 10)
    assert letter.failure.type.endswith("DecodeError")
    assert "caused by ValidationError" in letter.failure.text

    assert ledger(store, Reading).redrive().done == 1


def test_of_two_redrives_at_once_each_letter_is_applied_by_one_and_each_key_in_order(
    store: MongoStore, another: MongoStore, database: Database[Document]
) -> None:
    places = bury(store, range(60))
    begin = threading.Barrier(2)

    class Together(Ledger):
        started = False

        def handle(self, message: Message, session: Any) -> None:
            if not self.started:
                self.started = True
                begin.wait(30)
            super().handle(message, session)

    # The second meets the first one's open transaction: it begins while that is in its handler.
    def redrive(opened: MongoStore) -> Redriven:
        if opened is another:
            begin.wait(30)
            return ledger(opened).redrive()
        return ledger(opened, Together).redrive()

    with ThreadPoolExecutor() as threads:
        results = list(threads.map(redrive, [store, another]))

    assert sum(result.done for result in results) == 60
    assert sum(result.stayed for result in results) == 0
    assert effects(database) == dict.fromkeys(places, 1)
    by_key: dict[bytes, list[int]] = {}
    for row in database[EFFECTS].find().sort("_id"):
        by_key.setdefault(row["key"], []).append(row["offset"])
    assert all(offsets == sorted(offsets) for offsets in by_key.values())


@pytest.mark.parametrize("point", ["removed", "written", "committed"])
def test_a_redrive_that_is_killed_leaves_each_letter_applied_or_there(
    point: str, store: MongoStore, start: Start, database: Database[Document]
) -> None:
    places = bury(store, range(8))
    told: dict[str, Any] = {"redrive": True, "point": point, "after": 4, "do": "kill"}
    start("moves", told, group=GROUP).wait_until_killed()
    database.client.admin.command("killAllSessions", [])  # or the letter is held for 60 s
    seen = effects(database)
    assert len(seen) == {"removed": 4, "written": 3, "committed": 4}[point]
    assert left(store) == [offset for _, offset in places if (0, offset) not in seen]

    assert start("moves", {"redrive": True}, group=GROUP).wait_for("redriven")["stayed"] == 0

    assert effects(database) == dict.fromkeys(places, 1)
    assert left(store) == []
