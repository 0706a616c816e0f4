"""The consumer for asyncio."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, Literal, TypeVar, overload

from typing_extensions import TypeVar as TypeVarWithDefault

from eoconsumer.codecs import Decode, Form
from eoconsumer.consumer.consuming import Consuming, never
from eoconsumer.consumer.forms import (
    is_async_generator,
    is_awaitable,
    is_generator,
    must_not_wait,
    named,
)
from eoconsumer.consumer.needs import must_keep_letters
from eoconsumer.consumer.signals import is_taken, signals_stop
from eoconsumer.core.letters import EVERY_LETTER, Selection
from eoconsumer.core.redrive import Redriven
from eoconsumer.errors import ConfigurationError
from eoconsumer.kafka.check import topics_exist
from eoconsumer.message import Message, TopicPartition
from eoconsumer.protocols import AsyncStore
from eoconsumer.runner import User
from eoconsumer.runner.watch import Watch
from eoconsumer.runner_async import AsyncRunner
from eoconsumer.runner_async.redrive import redrive
from eoconsumer.runner_async.waiting import LoopFlag
from eoconsumer.telemetry import Snapshot

S = TypeVarWithDefault("S", default=Any)
M = TypeVar("M", bound=Message[Any])
R = TypeVar("R")


class AsyncConsumer(Consuming[AsyncStore[S]], Generic[S]):
    """What ``Consumer`` is to threads, for asyncio: the same names and settings, awaited.

    Subclass it and define one of ``writes(self, message)``, which may be a plain function, ``async
    def handle(self, message, session)`` and ``async def handle_batch(self, messages, session)``, or
    make one and decorate functions with ``on``. ``readers``: tasks, each with its own client (and
    a thread for it), session and partitions. ``lanes``: tasks of each reader, without a thread. A
    ``decode`` may be a coroutine function as well.
    """

    # --- what a subclass may define -----------------------------------------------------------

    async def after_commit(self, messages: Sequence[Message[Any]]) -> None:
        """Run stages after the transaction; a crash may miss them, an error is only logged."""

    async def on_assigned(self, partitions: list[TopicPartition]) -> None:
        """Learn which partitions came; their positions are claimed, no message was handled yet."""

    async def on_revoked(self, partitions: list[TopicPartition]) -> None:
        """Learn which partitions go; nothing of them commits after this."""

    # --- the same as a decorator --------------------------------------------------------------

    @overload
    def on(
        self,
        *topics: str,
        value_type: Any = None,
        decode: Decode | None = None,
        form: Literal["handle"] = "handle",
    ) -> Callable[[Callable[[M, S], Awaitable[R]]], Callable[[M, S], Awaitable[R]]]: ...

    @overload
    def on(
        self,
        *topics: str,
        value_type: Any = None,
        decode: Decode | None = None,
        form: Literal["batch"],
    ) -> Callable[
        [Callable[[Sequence[M], S], Awaitable[R]]], Callable[[Sequence[M], S], Awaitable[R]]
    ]: ...

    @overload
    def on(
        self,
        *topics: str,
        value_type: Any = None,
        decode: Decode | None = None,
        form: Literal["writes"],
    ) -> Callable[[Callable[[M], R]], Callable[[M], R]]: ...

    def on(
        self,
        *topics: str,
        value_type: Any = None,
        decode: Decode | None = None,
        form: Form = "handle",
    ) -> Callable[[Any], Any]:
        """Make a function the handler of ``topics``; see ``Consumer.on``."""
        return self._registering(topics, value_type, decode, form)

    # --- running ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Consume until ``stop``, SIGINT or SIGTERM; drains, leaves the group and returns.

        Where it is cancelled, what is in hand is rolled back instead, and the group is left all
        the same, before the cancellation is raised. Signal handlers are installed only on the main
        thread, and only for signals that nobody else handles, as a web server does. Raises what
        ``Consumer.run`` raises.
        """
        await self.run_until(never)

    async def run_until(self, predicate: Callable[[Snapshot], bool]) -> Snapshot:
        """Consume until ``predicate`` is true of a snapshot of counters and positions.

        It is a plain function, called after every batch, and at least once a second. Returns the
        last snapshot; everything else is as with ``run``.
        """
        must_not_wait(predicate)
        with self._alone():
            changed = LoopFlag()
            news = None if predicate is never else changed
            watch = self._watch = Watch(self.events, news, lanes=self.config.lanes > 0)
            # Before the checks, which take a while: a stop that is asked for then counts as well.
            runner = self._runner = AsyncRunner(
                self.config, self.store, self._source, self._user(), watch, changed
            )
            if self._stopped_early:
                runner.stop()
            with signals_stop(self.stop, unless=is_taken):
                await asyncio.to_thread(topics_exist, self._client, self._known_topics())
                await runner.set_up()
                await runner.run(predicate)
        return watch.snapshot()

    async def redrive(
        self, which: Selection = EVERY_LETTER, *, limit: int | None = None
    ) -> Redriven:
        """Give the dead letters of this group to their handlers again; see ``Consumer.redrive``."""
        self._not_forked()
        must_keep_letters(self.store)
        watch = Watch(self.events)
        return await redrive(self.config, self.store, self._user(), watch, which, limit)

    def _user(self) -> User:
        own = type(self).after_commit is not AsyncConsumer.after_commit
        return User(
            self._routes, self.after_commit if own else None, self.on_assigned, self.on_revoked
        )

    # --- mistakes -----------------------------------------------------------------------------

    def _refuse_store(self, store: object) -> None:
        if isinstance(store, type) or not isinstance(store, AsyncStore):
            raise ConfigurationError(
                f"The second argument is a {type(store).__name__}, not a store; nothing was "
                "consumed. Give AsyncMongoStore.connect(url), for instance."
            )
        if not inspect.iscoroutinefunction(store.open):
            raise ConfigurationError(
                f"{type(store).__name__} blocks the event loop; nothing was consumed. Use its "
                "twin, of the same name with Async before it, or a Consumer."
            )

    def _refuse(self, function: Callable[..., object], form: Form | None) -> None:
        for each in (self.after_commit, self.on_assigned, self.on_revoked):
            if not is_awaitable(each):
                raise _must_be_awaitable(each)
        if form in ("handle", "batch") and not is_awaitable(function):
            raise _must_be_awaitable(function)
        if form is None and (is_generator(function) or is_async_generator(function)):
            raise ConfigurationError(
                f"{named(function)} is a generator function: calling it would do nothing; nothing "
                "was consumed. Make it a plain or a coroutine function."
            )


def _must_be_awaitable(function: Callable[..., object]) -> ConfigurationError:
    return ConfigurationError(
        f"{named(function)} is no coroutine function: the event loop would stand still in it; "
        "nothing was consumed. Make it an async def, or use a Consumer."
    )
