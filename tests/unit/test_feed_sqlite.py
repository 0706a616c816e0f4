"""``feed`` with a real database that needs no server."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from eoconsumer import AsyncConsumer, Consumer, Message
from eoconsumer.core.modes import Mode
from eoconsumer.errors import HandlerFailed, HandlerMisuse
from eoconsumer.stores.sql import AsyncSQLStore, SQLStore
from eoconsumer.testing.feed import feed, feed_async


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


class Base(DeclarativeBase):
    pass


class Row(Base):
    __tablename__ = "ledger"
    n: Mapped[int] = mapped_column(primary_key=True)


class Adding(Ledger):
    """Adds objects and never flushes; refuses 0 after it has added it, and n twice."""

    def handle(self, message: Message[bytes], session: Session) -> None:
        session.add(Row(n=int(message.value)))
        _ = 1 // int(message.value)


MODES = ["exactly_once", "at_least_once", "at_most_once"]
OUTSIDE = pytest.mark.parametrize("mode", MODES[1:])
EVERYWHERE = pytest.mark.parametrize("mode", MODES)


@EVERYWHERE
@pytest.mark.requirement("S3-20")
def test_an_object_that_is_refused_is_blamed_on_its_message(store: SQLStore, mode: Mode) -> None:
    values = [b"1", b"2", b"2", b"3"]

    fed = feed(Adding("unused:9092", store, mode=mode, on_poison="skip"), values)

    assert [failed.message.offset for failed in fed.skipped] == [2]
    assert ledger(store) == [1, 2, 3]


def test_an_object_that_is_refused_in_a_later_handler_is_blamed_on_its_own_message(
    store: SQLStore,
) -> None:
    class Looking(Ledger):
        def handle(self, message: Message[bytes], session: Session) -> None:
            session.scalars(select(Row)).all()  # writes what the handlers before it have added
            session.add(Row(n=int(message.value)))

    fed = feed(Looking("unused:9092", store, on_poison="skip"), [b"1", b"1", b"2", b"3"])

    assert [failed.message.offset for failed in fed.skipped] == [1]
    assert ledger(store) == [1, 2, 3]


@OUTSIDE
def test_outside_of_a_transaction_what_a_handler_added_before_it_failed_is_not_written(
    store: SQLStore, mode: Mode
) -> None:
    values = [b"1", b"0", b"2"]

    feed(Adding("unused:9092", store, mode=mode, on_poison="skip"), values)

    assert ledger(store) == [1, 2]


def test_a_redriven_letter_of_at_most_once_has_its_objects_written(store: SQLStore) -> None:
    class Mended(Adding):
        def handle(self, message: Message[bytes], session: Session) -> None:
            session.add(Row(n=7 + int(message.value)))

    settings: dict[str, Any] = {"mode": "at_most_once", "on_poison": "bury"}
    feed(Adding("unused:9092", store, **settings), [b"0"])

    assert Mended("unused:9092", store, **settings).redrive().done == 1
    assert ledger(store) == [7]


@EVERYWHERE
def test_on_an_event_loop_an_object_that_is_refused_is_blamed_on_its_message_too(
    store: SQLStore, mode: Mode
) -> None:
    class Awaiting(AsyncConsumer):
        topics = "moves"
        group = "ledger"

        async def handle(self, message: Message[bytes], session: AsyncSession) -> None:
            session.add(Row(n=int(message.value)))

    async def fed() -> list[int]:
        other = AsyncSQLStore.connect(f"sqlite:///{store.engine.url.database}")
        consumer = Awaiting("unused:9092", other, mode=mode, on_poison="skip")
        skipped = (await feed_async(consumer, [b"1", b"2", b"2", b"3"])).skipped
        await other.close()
        return [failed.message.offset for failed in skipped]

    assert asyncio.run(fed()) == [2]
    assert ledger(store) == [1, 2, 3]
