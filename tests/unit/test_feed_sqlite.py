"""``feed`` with a real database that needs no server."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from eoconsumer import Consumer, Message
from eoconsumer.errors import HandlerFailed, HandlerMisuse
from eoconsumer.stores.sql import SQLStore
from eoconsumer.testing.feed import feed


class Ledger(Consumer):
    """Keeps what it gets, and refuses 0."""

    store: SQLStore
    topics = "moves"
    group = "ledger"

    def handle(self, message: Message[bytes], session: Session) -> None:
        session.execute(text("INSERT INTO ledger VALUES (:n)"), {"n": int(message.value)})
        _ = 1 // int(message.value)


@pytest.fixture
def store(tmp_path: Path) -> SQLStore:
    made = SQLStore.connect(f"sqlite:///{tmp_path}/shop.db")
    with made.engine.begin() as connection:
        connection.execute(text("CREATE TABLE ledger (n INTEGER PRIMARY KEY)"))
    return made


def ledger(store: SQLStore) -> list[int]:
    with store.engine.connect() as connection:
        return list(connection.scalars(text("SELECT n FROM ledger ORDER BY n")))


@pytest.mark.requirement("S3-06")
def test_a_failed_batch_leaves_nothing_behind_and_a_later_feed_goes_on(store: SQLStore) -> None:
    with pytest.raises(HandlerFailed):
        feed(Ledger("unused:9092", store), [b"3", b"0"])
    assert ledger(store) == [3]

    fed = feed(Ledger("unused:9092", store, on_poison="bury"), [b"4"])

    assert [message.offset for message in fed.applied] == [1]
    assert ledger(store) == [3, 4]


@pytest.mark.requirement("S3-22")
def test_a_handler_that_commits_is_found_out(store: SQLStore) -> None:
    class Committing(Ledger):
        def handle(self, message: Message[bytes], session: Session) -> None:
            super().handle(message, session)
            session.commit()

    with pytest.raises(HandlerMisuse):
        feed(Committing("unused:9092", store), [b"1"])

    assert ledger(store) == []
