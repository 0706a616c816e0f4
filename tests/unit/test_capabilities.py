"""A store declares what it does beside the heart of the contract; the rest is refused in time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from eoconsumer import AsyncConsumer, ConfigurationError, Consumer
from eoconsumer.core.capabilities import EVERYTHING, Capability, capabilities_of
from eoconsumer.core.letters import EVERY_LETTER, Failure, Letter
from eoconsumer.errors import CommitInDoubt
from eoconsumer.message import Message, MessageKey, Record, TopicPartition
from eoconsumer.protocols import (
    AsyncCommitsOnLeaving,
    AsyncStore,
    AsyncStoreSession,
    AsyncTransaction,
    CommitsOnLeaving,
    Store,
    StoreSession,
    Transaction,
)
from eoconsumer.stores.memory import MemoryStore
from eoconsumer.stores.memory_async import AsyncMemoryStore
from eoconsumer.stores.mongo import AsyncMongoStore, MongoStore
from eoconsumer.stores.sql import AsyncSQLStore, SQLStore
from eoconsumer.testing.conformance.contract import Contract

URL = "mongodb://localhost/shop?replicaSet=rs0"
ORDERS = TopicPartition("orders", 0)


class Bare(MemoryStore):
    capabilities = frozenset()


class AsyncBare(AsyncMemoryStore):
    capabilities = frozenset()


def nothing(_: Message) -> None: ...


class Lettered(MemoryStore):
    capabilities = frozenset({Capability.LETTERS})


NEEDY = [
    ({"on_poison": "bury"}, "keeps no dead letters", 'on_poison="bury"', 'Set on_poison="stop"'),
    ({"on_poison": "quarantine"}, "keeps no dead letters", 'on_poison="quarantine"', '"skip"'),
    ({"applied_log": True}, "keeps no applied-log", "applied_log=True", "Set applied_log=False"),
]


# --- a setting that the store cannot serve --------------------------------------------------------


@pytest.mark.requirement("N1")
@pytest.mark.parametrize(("setting", "lack", "named", "advice"), NEEDY)
def test_a_setting_that_needs_what_the_store_does_not_do_is_refused_before_anything_is_consumed(
    setting: dict[str, Any], lack: str, named: str, advice: str
) -> None:
    kinds: list[tuple[Any, object]] = [(Consumer, Bare()), (AsyncConsumer, AsyncBare())]
    for make, store in kinds:
        with pytest.raises(ConfigurationError) as refused:
            make("localhost:9092", store, group="g", **setting)

        text = str(refused.value)
        assert f"{type(store).__name__} {lack}: {named} is not possible" in text
        assert advice in text


def test_lanes_are_refused_where_a_store_does_not_declare_them() -> None:
    with pytest.raises(ConfigurationError, match=r"Bare has no rows for lanes: lanes=4.*lanes=0"):
        Consumer("localhost:9092", Bare(), group="g", lanes=4)


def test_a_quarantine_is_refused_where_a_store_only_keeps_letters() -> None:
    with pytest.raises(ConfigurationError, match=r'keeps no keys in quarantine.*on_poison="bury"'):
        Consumer("localhost:9092", Lettered(), group="g", on_poison="quarantine")
    Consumer("localhost:9092", Lettered(), group="g", on_poison="bury")


def test_a_handler_that_returns_writes_is_refused_where_a_store_takes_none() -> None:
    class Returning(Consumer):
        topics, group = "orders", "g"

        def writes(self, message: Message) -> None: ...

    with pytest.raises(ConfigurationError, match=r"Bare takes no writes.*handle\(self, message"):
        Returning("localhost:9092", Bare())
    with pytest.raises(ConfigurationError, match="AsyncBare takes no writes"):
        AsyncConsumer("localhost:9092", AsyncBare(), group="g").on("t", form="writes")(nothing)


def test_a_redrive_is_refused_where_a_store_keeps_no_letters() -> None:
    with pytest.raises(ConfigurationError, match="Bare keeps no dead letters: a redrive"):
        Consumer("localhost:9092", Bare(), group="g").redrive()
    with pytest.raises(ConfigurationError, match="AsyncBare keeps no dead letters: a redrive"):
        asyncio.run(AsyncConsumer("localhost:9092", AsyncBare(), group="g").redrive())


# --- what is declared -----------------------------------------------------------------------------


@pytest.mark.requirement("N1", "N14")
def test_our_own_stores_do_everything_but_what_sqlite_cannot() -> None:
    sqlite = EVERYTHING - {Capability.ENDS_FORMER_OWNER, Capability.MANY_WRITERS}
    for store in (
        MemoryStore(),
        MongoStore.connect(URL),
        SQLStore(create_engine("postgresql+psycopg://")),
        SQLStore(create_engine("mysql+pymysql://")),
    ):
        assert capabilities_of(store) == EVERYTHING
    assert capabilities_of(SQLStore(create_engine("sqlite://"))) == sqlite


@pytest.mark.requirement("N14")
def test_our_own_stores_for_asyncio_do_what_their_twins_do() -> None:
    async def made() -> list[tuple[object, object]]:
        return [
            (AsyncMemoryStore(), MemoryStore()),
            (AsyncMongoStore.connect(URL), MongoStore.connect(URL)),
            *(
                (AsyncSQLStore(create_async_engine(a)), SQLStore(create_engine(b)))
                for a, b in (
                    ("postgresql+psycopg://", "postgresql+psycopg://"),
                    ("mysql+asyncmy://", "mysql+pymysql://"),
                    ("sqlite+aiosqlite://", "sqlite://"),
                )
            ),
        ]

    for store, twin in asyncio.run(made()):
        assert capabilities_of(store) == capabilities_of(twin)


def test_a_store_that_declares_nothing_does_everything_and_shows_its_lanes() -> None:
    class Undeclared:
        """A store of another package, from before there were capabilities."""

    class Laned(Undeclared):
        def open_lane(self) -> None: ...

    assert capabilities_of(Undeclared()) == EVERYTHING - {Capability.LANES}
    assert capabilities_of(Laned()) == EVERYTHING


def test_a_test_class_may_deny_what_its_store_does_not_declare() -> None:
    class Denying(Contract):
        ends_former_owner = False
        many_writers = False

    denied = {Capability.ENDS_FORMER_OWNER, Capability.MANY_WRITERS}
    assert {each for each in Capability if not Contract().has(MemoryStore(), each)} == set()
    assert {each for each in Capability if not Denying().has(MemoryStore(), each)} == denied


# --- what is inherited ----------------------------------------------------------------------------


class Heartless(StoreSession[None]):
    def close(self) -> None: ...


def test_a_session_without_the_heart_of_the_contract_cannot_be_made() -> None:
    with pytest.raises(TypeError, match=r"abstract.*all_positions.*claim.*release"):
        Heartless()  # type: ignore[abstract]  # the mistake


@pytest.mark.parametrize("kinds", [(Store, StoreSession, Transaction),
                                   (AsyncStore, AsyncStoreSession, AsyncTransaction)])  # fmt: skip
def test_what_a_store_leaves_out_it_refuses(kinds: tuple[Any, Any, Any]) -> None:
    store, session, transaction = kinds
    letter = Letter("1", "g", Record("orders", 0, 1), Failure("", "", ""), 1, datetime.now(UTC))
    calls: list[tuple[Any, tuple[object, ...], str]] = [
        (store.letters, (EVERY_LETTER, None, 1), "no dead letters"),
        (store.applied, ("g", ORDERS, 0, 1), "no applied-log"),
        (session.bury, ([],), "no dead letters"),
        (session.remove, (letter,), "no dead letters"),
        (session.note_failure, (letter, ValueError()), "no dead letters"),
        (transaction.note_applied, ([],), "no applied-log"),
        (transaction.write, ([],), "no writes"),
    ]
    for call, given, lack in calls:
        with pytest.raises(ConfigurationError, match=lack):
            _answer(call(None, *given))
    assert _answer(transaction.lift(None, MessageKey(ORDERS, b"key"))) is True
    assert _answer(session.flush(None)) is None
    assert session.culprit(None, ValueError(), 3) is None


def _answer(value: Any) -> Any:
    return asyncio.run(value) if asyncio.iscoroutine(value) else value


# --- a transaction as a block ---------------------------------------------------------------------


class Block(CommitsOnLeaving):
    def __init__(self, answer: Exception | None = None) -> None:
        self.calls: list[str] = []
        self.answer = answer

    def commit(self) -> None:
        self.calls.append("commit")
        if self.answer is not None:
            raise self.answer

    def abort(self) -> None:
        self.calls.append("abort")


class AsyncBlock(AsyncCommitsOnLeaving):
    def __init__(self, block: Block) -> None:
        self.block = block

    async def commit(self) -> None:
        self.block.commit()

    async def abort(self) -> None:
        self.block.abort()


def leave(block: Block, error: Exception | None = None) -> None:
    with block:
        if error is not None:
            raise error


def leave_async(block: Block, error: Exception | None = None) -> None:
    async def left() -> None:
        async with AsyncBlock(block):
            if error is not None:
                raise error

    asyncio.run(left())


@pytest.mark.parametrize("left", [leave, leave_async])
def test_a_transaction_commits_when_its_block_is_left(left: Any) -> None:
    block = Block()

    left(block)

    assert block.calls == ["commit"]


@pytest.mark.parametrize("left", [leave, leave_async])
def test_a_transaction_is_rolled_back_where_an_error_leaves_its_block(left: Any) -> None:
    block = Block()

    with pytest.raises(ZeroDivisionError):
        left(block, ZeroDivisionError())

    assert block.calls == ["abort"]


@pytest.mark.parametrize("left", [leave, leave_async])
def test_a_transaction_whose_commit_fails_is_rolled_back(left: Any) -> None:
    block = Block(CommitInDoubt())

    with pytest.raises(CommitInDoubt):
        left(block)

    assert block.calls == ["commit", "abort"]
