"""The same as ``ledger.py``, on an event loop: an ``AsyncConsumer``, and a store of asyncio.

The points of SQL stores are those that ``ledger.py`` has made: their transactions are run by the
store for threads, in a greenlet.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

import ledger
from ledger import TOLD, Said, Stay, asked, at, say

from eoconsumer import AsyncConsumer, Message, RetryPolicy
from eoconsumer.core.positions import Claims, Start
from eoconsumer.message import TopicPartition
from eoconsumer.protocols import AsyncStore
from eoconsumer.stores import open_async_store
from eoconsumer.stores.mongo import AsyncMongoStore
from eoconsumer.stores.mongo.session import AsyncMongoSession
from eoconsumer.stores.mongo.transaction import AsyncMongoTransaction


def pointed(owner: type, method: str, before: str, after: str) -> None:
    """Make a method of the store pass two points."""
    original: Callable[..., Awaitable[Any]] = getattr(owner, method)

    async def call(*args: Any) -> Any:
        at(before)
        result = await original(*args)
        at(after)
        return result

    setattr(owner, method, call)


for scope in (AsyncMongoTransaction, AsyncMongoSession):
    pointed(scope, "advance", "advancing", "advanced")
pointed(AsyncMongoTransaction, "commit", "committing", "committed")


class Claiming(AsyncMongoStore):
    """Tells when Kafka has given it partitions, before they are claimed."""

    async def open(self, group: str, owner: str) -> AsyncMongoSession:
        session = await super().open(group, owner)
        claim = session.claim

        async def told(
            keys: Sequence[TopicPartition], starts: Mapping[TopicPartition, Start]
        ) -> Claims:
            say("claiming", partitions=[key.partition for key in keys])
            return await claim(keys, starts)

        session.claim = told  # type: ignore  # one session of one reader
        return session


Write: TypeAlias = Callable[[Any, Mapping[str, Any]], Awaitable[object]]


def opened() -> tuple[AsyncStore[Any], Write]:
    """Open the store; return it, and what writes an effect to it. Only its driver is imported."""
    if TOLD["asyncio"] == "sqlalchemy":
        return opened_sql()
    url = TOLD["store"]
    if TOLD["asyncio"] == "motor":
        from motor.motor_asyncio import AsyncIOMotorClient

        client: Any = AsyncIOMotorClient(url)
        store = Claiming(client, client.get_default_database().name)
    else:
        store = Claiming.connect(url)

    async def write(session: Any, effect: Mapping[str, Any]) -> None:
        await store.database["effects"].insert_one(effect, session=session)

    return store, write


def opened_sql() -> tuple[AsyncStore[Any], Write]:
    from sql_trial import EFFECTS
    from sqlalchemy import insert, make_url

    async def write(session: Any, effect: Mapping[str, Any]) -> None:
        await session.execute(insert(EFFECTS), effect)

    named = make_url(TOLD["store"])  # with the driver for threads
    named = named.set(drivername=named.get_backend_name())
    return open_async_store(named.render_as_string(hide_password=False)), write


class Ledger(AsyncConsumer):
    write: Write
    events = Said()
    retry = RetryPolicy(attempts=TOLD.get("attempts", 3))

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self.stay = Stay()
        super().__init__(*arguments, **settings)

    def stop(self) -> None:
        # By a signal, which may come when its time is over anyway: then it must not join again.
        asked.set()
        super().stop()

    async def handle(self, message: Message, session: Any) -> None:
        say("handled", partition=message.partition, offset=message.offset)
        self.stay.begin()
        ledger.handled += 1
        at("handling")
        effect = {
            "partition": message.partition,
            "offset": message.offset,
            "handled_at": time.monotonic_ns(),
            "by": os.getpid(),
        }
        await self.write(session, effect)
        at("written")
        await asyncio.sleep(TOLD.get("slow", 0))

    async def after_commit(self, messages: Sequence[Message]) -> None:
        del messages
        at("after_commit")

    async def on_assigned(self, partitions: list[TopicPartition]) -> None:
        say("assigned", partitions=[key.partition for key in partitions])

    async def on_revoked(self, partitions: list[TopicPartition]) -> None:
        say("revoked", partitions=[key.partition for key in partitions])


async def main() -> None:
    store, write = opened()
    while not asked.is_set():
        consumer = Ledger(TOLD["bootstrap"], store, **TOLD["settings"])
        consumer.write = write
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # else it would leave it to us
        await consumer.run_until(consumer.stay.over)
        signal.signal(signal.SIGTERM, lambda *_: asked.set())  # between two runs
    say("ended")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    asyncio.run(main())
