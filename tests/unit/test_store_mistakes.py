"""What is no client, engine, name or handler of the right kind is refused when it is given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient, MongoClient
from sqlalchemy.ext.asyncio import create_async_engine

from eoconsumer import AsyncConsumer, ConfigurationError, Consumer, Events
from eoconsumer.stores.memory import MemoryStore
from eoconsumer.stores.memory_async import AsyncMemoryStore
from eoconsumer.stores.mongo import AsyncMongoStore, MongoStore
from eoconsumer.stores.sql import SQLStore
from eoconsumer.testing.feed import feed, feed_async

URL = "mongodb://localhost/?replicaSet=rs0"


def blocking() -> MongoClient[Any]:
    return MongoClient(URL, connect=False)


MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "a URL is no client": (lambda: MongoStore(URL, "shop"), "is a str, no client of MongoDB"),  # type: ignore[arg-type]  # the mistakes
    "nor is it on a loop": (lambda: AsyncMongoStore(URL, "shop"), "is a str, no client"),  # type: ignore[arg-type]
    "a client of asyncio": (
        lambda: MongoStore(AsyncMongoClient(URL), "shop"),  # type: ignore[arg-type]
        "is a client of asyncio.*AsyncMongoStore",
    ),
    "two collections of one name": (
        lambda: MongoStore(blocking(), "shop", offsets="eo", dead_letters="eo"),
        "share the name 'eo'",
    ),
    "a database is no name": (
        lambda: MongoStore(blocking(), blocking()["shop"]),  # type: ignore[arg-type]
        "name must be an instance of str",
    ),
    "a URL is no engine": (lambda: SQLStore("sqlite:///shop.db"), "is a str, no engine"),  # type: ignore[arg-type]
    "an engine of asyncio": (
        lambda: SQLStore(create_async_engine("sqlite+aiosqlite:///shop.db")),  # type: ignore[arg-type]
        "is an engine of asyncio.*AsyncSQLStore",
    ),
    "a driver of asyncio": (
        lambda: SQLStore.connect("sqlite+aiosqlite:///shop.db"),
        "is an engine of asyncio.*AsyncSQLStore",
    ),
    "a class is no store": (
        lambda: AsyncConsumer("localhost:1", AsyncMemoryStore, group="g"),  # type: ignore[type-var]
        "is a type, not a store",
    ),
}


@pytest.mark.parametrize(("make", "says"), MISTAKES.values(), ids=MISTAKES)
def test_what_is_of_the_wrong_kind_is_refused_when_it_is_given(
    make: Callable[[], Any], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=says):
        make()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"topics": 5}, "topics=5 is neither"),
        ({"topics": None}, "topics=None is neither"),
        ({"value_type": 5}, "value_type=5"),
        ({"value_type": type("Plain", (), {})}, "value_type=<class '.*Plain'>"),
        ({"value_type": "StockMove"}, "value_type='StockMove'"),
        ({"events": Events}, "events= is a class"),
    ],
)
def test_a_class_attribute_of_the_wrong_kind_is_refused(
    settings: dict[str, Any], says: str
) -> None:
    members = {"topics": "t", "group": "g", "handle": print, **settings}
    with pytest.raises(ConfigurationError, match=says):
        type("Ledger", (Consumer,), members)("localhost:1", MemoryStore())


class Awaited(Events):
    async def fenced(self, partition: object) -> None:  # type: ignore[override]  # the mistake
        """Would never run."""


def test_hooks_that_would_have_to_be_awaited_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"Awaited\.fenced is a coroutine function"):
        AsyncConsumer("localhost:1", AsyncMemoryStore(), group="g", events=Awaited())


def test_a_predicate_that_would_have_to_be_awaited_is_refused() -> None:
    """A coroutine is true, so that the run would be over at once."""

    async def never(_: object) -> bool:
        return False

    consumer = AsyncConsumer("localhost:1", AsyncMemoryStore(), group="g", topics="t")
    with pytest.raises(ConfigurationError, match="never is a coroutine function"):
        asyncio.run(consumer.run_until(never))  # type: ignore[arg-type]  # the mistake


def test_a_consumer_is_fed_by_what_is_of_its_kind() -> None:
    threads = Consumer("unused:1", MemoryStore(), group="g")
    loop = AsyncConsumer("unused:1", AsyncMemoryStore(), group="g")
    with pytest.raises(ConfigurationError, match="await feed_async"):
        feed(loop, [b"1"])  # type: ignore[arg-type]  # the mistake
    with pytest.raises(ConfigurationError, match="Use feed"):
        asyncio.run(feed_async(threads, [b"1"]))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="There is no handler"):
        feed(threads, [b"1"])
