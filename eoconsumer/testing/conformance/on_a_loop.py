"""The same tests for stores of asyncio: each call is awaited on an event loop in a thread."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextvars import Context
from typing import Any, TypeVar

import pytest

from eoconsumer.protocols import AsyncStore, Store
from eoconsumer.testing.conformance.contract import Contract

T = TypeVar("T")

_MAKERS = ("open", "open_lane", "transaction")  # of what is awaited, too


class Loop:
    """An event loop in a thread of its own, for those who have none."""

    def __init__(self) -> None:
        """Start it."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="conformance-loop")
        self._caller = threading.local()
        self._thread.start()

    def run(self, awaitable: Awaitable[T]) -> T:
        """Return what ``awaitable`` returns.

        What one thread asks for shares its context variables, as the awaits of one task do: a
        transaction may be begun by one call and ended by another.
        """

        async def awaited() -> T:
            return await awaitable

        async def in_context() -> T:
            return await asyncio.Task(awaited(), context=context)

        if not hasattr(self._caller, "context"):
            self._caller.context = Context()
        context: Context = self._caller.context
        return asyncio.run_coroutine_threadsafe(in_context(), self._loop).result()

    def iterate(self, values: AsyncIterator[T]) -> Iterator[T]:
        """Yield what ``values`` yields."""
        while True:
            try:
                yield self.run(values.__anext__())
            except StopAsyncIteration:
                return

    def close(self) -> None:
        """Stop it."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Blocking:
    """A store, session or transaction of asyncio, as one for threads: its calls wait."""

    def __init__(self, awaited: Any, loop: Loop) -> None:
        """Await the methods of ``awaited`` on ``loop``."""
        self.awaited = awaited
        self.loop = loop

    def __getattr__(self, name: str) -> Any:
        """Return an attribute as it is, or a method that waits for what the method returns."""
        found = getattr(self.awaited, name)
        if not inspect.ismethod(found):
            return found

        def call(*arguments: Any) -> Any:
            result = found(*arguments)
            if inspect.isasyncgen(result):
                return self.loop.iterate(result)
            result = self.loop.run(result) if inspect.isawaitable(result) else result
            return Blocking(result, self.loop) if name in _MAKERS else result

        return call

    def __enter__(self) -> Blocking:
        """Begin a transaction."""
        self.loop.run(self.awaited.__aenter__())
        return self

    def __exit__(self, *error: Any) -> None:
        """Commit, or abort after an error."""
        self.loop.run(self.awaited.__aexit__(*error))


class AsyncContract(Contract):
    """What the tests know of a store of asyncio; a store's own class supplies it."""

    @pytest.fixture
    def loop(self) -> Iterator[Loop]:
        """Return the loop on which the store lives; ``loop.run`` awaits."""
        loop = Loop()
        yield loop
        loop.close()

    @pytest.fixture
    def async_store(self, loop: Loop) -> Any:
        """Return a store that is empty and set up."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, async_store: AsyncStore, loop: Loop) -> Any:
        """Return the store as the tests use it."""
        assert isinstance(async_store, AsyncStore)
        store = Blocking(async_store, loop)
        assert isinstance(store, Store)
        return store

    async def write_async(self, store: Any, session: Any, text: str) -> None:
        """Write ``text`` through the native ``session``, as a handler would."""
        raise NotImplementedError

    async def read_async(self, store: Any) -> Sequence[str]:
        """Return the texts that are visible to everybody, in any order."""
        raise NotImplementedError

    async def letters_async(self, store: Any) -> Sequence[int]:
        """Return the offsets of the dead letters that are visible to everybody."""
        raise NotImplementedError

    async def swallow_an_error_async(self, store: Any, session: Any) -> None:
        """Do what the database refuses, and go on as if nothing had happened."""
        super().swallow_an_error(store, session)

    async def end_the_transaction_async(self, store: Any, session: Any) -> None:
        """Commit or roll back by the native ``session``, as a handler must not."""
        super().end_the_transaction(store, session)

    def write(self, store: Any, session: Any, text: str) -> None:
        """Write as ``write_async`` does."""
        store.loop.run(self.write_async(store.awaited, session, text))

    def read(self, store: Any) -> Sequence[str]:
        """Read as ``read_async`` does."""
        texts: Sequence[str] = store.loop.run(self.read_async(store.awaited))
        return texts

    def letters(self, store: Any) -> Sequence[int]:
        """Read as ``letters_async`` does."""
        offsets: Sequence[int] = store.loop.run(self.letters_async(store.awaited))
        return offsets

    def swallow_an_error(self, store: Any, session: Any) -> None:
        """Do as ``swallow_an_error_async`` does."""
        store.loop.run(self.swallow_an_error_async(store.awaited, session))

    def end_the_transaction(self, store: Any, session: Any) -> None:
        """Do as ``end_the_transaction_async`` does."""
        store.loop.run(self.end_the_transaction_async(store.awaited, session))
