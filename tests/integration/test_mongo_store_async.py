"""What a handler may do in a transaction of an ``AsyncMongoStore``, and what dooms it."""

from __future__ import annotations

import asyncio
import inspect
import uuid
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from typing import Any

import pytest
from mongo_stores import HELD, ORDERS, held
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient, MongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from eoconsumer.core.positions import Move, Start
from eoconsumer.errors import ConfigurationError, HandlerMisuse
from eoconsumer.servers import MongoReplicaSet
from eoconsumer.stores.mongo import AsyncMongoStore
from eoconsumer.stores.twins import answer

pytestmark = pytest.mark.requirement("N14", "S3-22")

drivers = pytest.mark.parametrize("driver", [AsyncMongoClient, AsyncIOMotorClient])


@asynccontextmanager
async def opened(driver: Any, mongo: MongoReplicaSet) -> Any:
    """A store in an empty database with a ledger, a session that owns a row, and its next move."""
    client = driver(mongo.url)
    store = AsyncMongoStore(client, f"store_{uuid.uuid4().hex[:8]}")
    await store.setup()
    await store.database.create_collection("ledger")
    session = await store.open("ledger", "first")
    row = (await session.claim([ORDERS], {ORDERS: Start(0, 1)})).positions[ORDERS]
    try:
        yield store, session, Move(ORDERS, row.epoch, 0, 1)
    finally:
        await session.close()
        await client.drop_database(store.database.name)
        await answer(client.close())


async def ledger(store: AsyncMongoStore) -> list[Any]:
    """Return what everybody sees in the ledger."""
    async with await answer(store.client.start_session()) as outside:
        return [d["_id"] async for d in store.database["ledger"].find({}, session=outside)]


@drivers
def test_a_write_that_forgot_the_session_is_inside_also_in_a_task_of_the_handler(
    driver: Any, mongo_replica_set: MongoReplicaSet
) -> None:
    async def main() -> None:
        async with opened(driver, mongo_replica_set) as (store, session, move):
            rolled_back = await session.transaction()
            await store.database["ledger"].insert_one({"_id": 1})
            await rolled_back.abort()
            assert await ledger(store) == []

            async with await session.transaction() as transaction:
                await store.database["ledger"].insert_one({"_id": 1})
                await asyncio.create_task(write(store, 2))
                await transaction.advance([move])
                assert await ledger(store) == []
            assert sorted(await ledger(store)) == [1, 2]

    asyncio.run(main())


async def write(store: AsyncMongoStore, number: int) -> None:
    await store.database["ledger"].insert_one({"_id": number})


@drivers
def test_two_sessions_of_two_tasks_do_not_see_each_others_transaction(
    driver: Any, mongo_replica_set: MongoReplicaSet
) -> None:
    async def main() -> None:
        async with opened(driver, mongo_replica_set) as (store, session, _):
            begun, over = asyncio.Event(), asyncio.Event()

            async def reader() -> None:
                other = await store.open("ledger", "other")
                transaction = await other.transaction()
                await write(store, 1)
                begun.set()
                await over.wait()
                await transaction.abort()
                await other.close()

            task = asyncio.create_task(reader())
            await begun.wait()
            async with await session.transaction():
                await write(store, 2)
            over.set()
            await task
            assert await ledger(store) == [2]

    asyncio.run(main())


@drivers
@pytest.mark.parametrize("bad", [1, 2**63], ids=["a duplicate key", "what cannot be encoded"])
def test_an_error_that_the_handler_swallowed_dooms_the_transaction(
    driver: Any, bad: int, mongo_replica_set: MongoReplicaSet
) -> None:
    async def main() -> None:
        async with opened(driver, mongo_replica_set) as (store, session, move):
            await write(store, 1)
            transaction = await session.transaction()
            await write(store, 2)
            with suppress(DuplicateKeyError, OverflowError):
                await write(store, bad)

            with pytest.raises(HandlerMisuse, match="went on as if nothing"):
                await transaction.advance([move])
            await transaction.abort()
            assert await ledger(store) == [1]

    asyncio.run(main())


@drivers
def test_a_consumer_that_a_handler_starts_as_a_task_works_outside_of_its_context_only(
    driver: Any, mongo_replica_set: MongoReplicaSet
) -> None:
    async def main() -> None:
        async with opened(driver, mongo_replica_set) as (store, session, move):
            over = asyncio.Event()

            async def consumes(group: str) -> bool:
                other = await store.open(group, "other")
                try:
                    await over.wait()
                    return ORDERS in (await other.claim([ORDERS], {ORDERS: Start(0, 1)})).positions
                finally:
                    await other.close()

            async with await session.transaction() as transaction:
                inside = asyncio.create_task(consumes("inside"))
                outside = asyncio.create_task(consumes("outside"), context=Context())
                await transaction.advance([move])
            over.set()
            with pytest.raises(HandlerMisuse, match="after the end of the transaction"):
                await inside
            assert await outside

    asyncio.run(main())


@drivers
@pytest.mark.parametrize("then", ["aborted", "aborted, and the next one is open", "committed"])
def test_a_task_that_outlives_its_transaction_cannot_write_any_more(
    driver: Any, then: str, mongo_replica_set: MongoReplicaSet
) -> None:
    async def main() -> None:
        async with opened(driver, mongo_replica_set) as (store, session, move):
            over = asyncio.Event()

            async def sibling() -> None:
                await over.wait()
                await write(store, 1)

            transaction = await session.transaction()
            task = asyncio.create_task(sibling())
            await write(store, 2)
            await (transaction.commit() if then == "committed" else transaction.abort())
            if then.endswith("open"):
                transaction = await session.transaction()
                await write(store, 2)
            over.set()
            with pytest.raises(HandlerMisuse, match="after the end of the transaction"):
                await task

            if then.endswith("open"):
                await transaction.advance([move])
                await transaction.commit()
            assert await ledger(store) == ([] if then == "aborted" else [2])

    asyncio.run(main())


@pytest.mark.parametrize("where", HELD)
def test_a_write_that_motors_thread_sends_after_a_cancellation_is_not_done(
    where: str, mongo_replica_set: MongoReplicaSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with opened(AsyncIOMotorClient, mongo_replica_set) as (store, session, _):
            transaction = await session.transaction()
            with held(monkeypatch, where) as (waits, go):
                writing = store.database["ledger"].insert_one({"_id": 1})
                handler = asyncio.create_task(until_cancelled(writing))
                assert await asyncio.to_thread(waits.wait, 10)
                handler.cancel()
                with suppress(asyncio.CancelledError):
                    await handler
                await transaction.abort()
                go.set()
            with pytest.raises(HandlerMisuse, match="after the end of the transaction"):
                await writing

            assert await ledger(store) == []

    asyncio.run(main())


async def until_cancelled(writing: asyncio.Future[Any]) -> None:
    await asyncio.shield(writing)  # so that the end of motor's thread can be seen


ENDINGS: dict[str, Callable[[Any], Awaitable[Any] | Any]] = {
    "commit_transaction": lambda session: session.commit_transaction(),
    "abort_transaction": lambda session: session.abort_transaction(),
    "end_session": lambda session: session.end_session(),
    "start_transaction": lambda session: session.start_transaction(),
}


@drivers
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_handler_that_ends_the_transaction_is_refused_at_once_and_rolled_back(
    driver: Any, ending: str, mongo_replica_set: MongoReplicaSet
) -> None:
    async def main() -> None:
        async with opened(driver, mongo_replica_set) as (store, session, move):
            transaction = await session.transaction()
            await write(store, 1)

            with pytest.raises(HandlerMisuse, match=rf"session\.{ending}\(\)"):
                await answer(ENDINGS[ending](transaction.session))
            with pytest.raises(HandlerMisuse):  # also where the handler swallows that
                await transaction.advance([move])
            await transaction.abort()
            assert await ledger(store) == []

            async with await session.transaction() as another:
                await write(store, 2)
                await another.advance([move])
            assert await ledger(store) == [2]

    asyncio.run(main())


@drivers
def test_the_culprit_of_a_bulk_write_is_named(
    driver: Any, mongo_replica_set: MongoReplicaSet
) -> None:
    async def main() -> None:
        async with opened(driver, mongo_replica_set) as (store, session, _):
            documents = [{"_id": n} for n in (1, 2, 2, 3)]
            with pytest.raises(Exception, match="duplicate key") as raised:
                await store.database["ledger"].insert_many(documents)
            assert session.culprit(raised.value, 4) == 2
            assert session.culprit(raised.value, 5) is None

    asyncio.run(main())


def test_a_client_that_blocks_is_refused() -> None:
    client = MongoClient[Any]("mongodb://localhost:1/?replicaSet=rs0", connect=False)
    with client, pytest.raises(ConfigurationError, match="blocks the event loop"):
        AsyncMongoStore(client, "shop")  # type: ignore[arg-type]  # that is the mistake


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("_apply_to", ["self", "command", "is_retryable", "read_preference", "conn"]),
        ("_process_response", ["self", "reply"]),
        ("_unpin", ["self"]),
        ("_end_session", ["self", "lock"]),
    ],
)
def test_pymongo_async_still_has_the_private_names_that_the_guard_watches(
    name: str, parameters: list[str]
) -> None:
    assert list(inspect.signature(getattr(AsyncClientSession, name)).parameters) == parameters
