"""A user's program that names its sessions: the class form itself, the decorator by its store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.client_session import ClientSession

from eoconsumer import AsyncConsumer, Consumer, Message
from eoconsumer.stores.memory import MemorySession, MemoryStore
from eoconsumer.stores.mongo import AsyncMongoStore, MongoStore

store = MongoStore.connect("mongodb://localhost:27017/shop?replicaSet=rs0")
async_store = AsyncMongoStore.connect("mongodb://localhost:27017/shop?replicaSet=rs0")


class Ledger(Consumer[ClientSession]):
    topics = "stock-moves"

    def handle(self, message: Message[bytes], session: ClientSession) -> None:
        store.database["ledger"].insert_one({"offset": message.offset}, session=session)


class AsyncLedger(AsyncConsumer[AsyncClientSession]):
    topics = "stock-moves"

    async def handle(self, message: Message[bytes], session: AsyncClientSession) -> None:
        await async_store.database["ledger"].insert_one({"at": message.offset}, session=session)

    async def after_commit(self, messages: Sequence[Message[Any]]) -> None: ...


Ledger("localhost:9092", store, group="ledger").stop()
Ledger("localhost:9092", MemoryStore())  # type: ignore[arg-type]  # its sessions are others


async def main() -> None:
    await AsyncLedger("localhost:9092", async_store, group="ledger").run()
    AsyncLedger("localhost:9092", store)  # type: ignore[arg-type]  # this store blocks


ledger = Consumer("localhost:9092", store, group="ledger")
async_ledger = AsyncConsumer("localhost:9092", async_store, group="ledger")
memory = Consumer("localhost:9092", MemoryStore(), group="ledger")


@ledger.on("stock-moves")
def apply(message: Message[bytes], session: ClientSession) -> None:
    store.database["stock"].insert_one({"offset": message.offset}, session=session)


@memory.on("stock-moves", form="batch")
def keep(messages: Sequence[Message[bytes]], session: MemorySession) -> None:
    session.append("stock", len(messages))


@ledger.on("returns")  # type: ignore[arg-type]  # not the session of this store
def wrong(message: Message[bytes], session: MemorySession) -> None:
    session.append("returns", message.offset)


@async_ledger.on("stock-moves")
async def apply_async(message: Message[bytes], session: AsyncClientSession) -> None:
    await async_store.database["stock"].insert_one({"at": message.offset}, session=session)


@async_ledger.on("returns")  # type: ignore[arg-type]  # would block the event loop
def blocks(message: Message[bytes], session: AsyncClientSession) -> None: ...


@async_ledger.on("returns", form="writes")
async def writes(message: Message[bytes]) -> AsyncIterator[Any]:
    yield message.offset
