"""The consumer for threads."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
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
from eoconsumer.consumer.signals import signals_stop
from eoconsumer.core.letters import EVERY_LETTER, Selection
from eoconsumer.core.redrive import Redriven
from eoconsumer.errors import ConfigurationError
from eoconsumer.kafka.check import topics_exist
from eoconsumer.message import Message, TopicPartition
from eoconsumer.protocols import Store
from eoconsumer.runner import Runner, User
from eoconsumer.runner.flag import Flag
from eoconsumer.runner.redrive import redrive
from eoconsumer.runner.watch import Watch
from eoconsumer.telemetry import Snapshot

S = TypeVarWithDefault("S", default=Any)
M = TypeVar("M", bound=Message[Any])
R = TypeVar("R")


class Consumer(Consuming[Store[S]], Generic[S]):
    """Consumes Kafka into a transactional database, in one of three modes.

    Subclass it and define one of ``writes(self, message)``, ``handle(self, message, session)`` and
    ``handle_batch(self, messages, session)``, or make one and decorate functions with ``on``. Every
    setting can be a class attribute or an argument of the constructor; the argument wins. A class
    may name the session that its store hands out: ``Consumer[ClientSession]``.

    ``topics``: names, or regular expressions that begin with ``^``. ``group``: the consumer group,
    and the name under which positions are stored. ``mode``: what a crash may cost, see ``Mode``.
    ``start``: where a partition starts that has no stored position: "earliest", "latest",
    "error", "group" (what the Kafka group committed), a ``datetime`` or milliseconds since the
    epoch. ``batch_size`` (messages) and ``batch_bytes`` (bytes): upper bounds of one transaction.
    ``max_partitions``: how many partitions this consumer works on at once. ``readers``: threads,
    each with its own client, session and partitions. ``lanes``: for slow handlers, so many messages
    of one partition are handled at the same time, in a thread each; those of one key stay in order;
    0: one by one. ``retry``: tries of a failing message;
    ``on_poison``: then "stop" (``run`` raises), "skip", "bury" (a dead letter, in the same
    transaction as the offset) or "quarantine" (and the later messages of its key with it).
    ``restart``: tries of a reader that lost its broker or database. ``commit_batch`` (messages)
    and ``commit_interval`` (seconds): how often at-least-once stores positions, and how many
    messages a kill repeats (at-most-once: gives up) at most.
    ``positions``: "store", or "kafka" for the two modes without transactions. ``applied_log``:
    note which messages were applied, for ``eoconsumer verify``.
    ``on_identity_change``: where a topic was deleted and created anew, or the cluster is another
    one: "stop" (``run`` raises), or "restart" at the first message there is.
    ``on_data_loss``: where messages before or behind the position are gone from the log: "stop",
    or "continue" with what there is. ``identity_interval`` (seconds): how often a running consumer
    looks after that. ``mirror``: show positions to the Kafka group. ``kafka``: settings of
    librdkafka. ``events``: hooks. ``value_type``: what the JSON value is validated as, a pydantic
    model for instance; or define ``decode(self, message)``.
    """

    # --- what a subclass may define -----------------------------------------------------------

    def after_commit(self, messages: Sequence[Message[Any]]) -> None:
        """Run stages after the transaction; a crash may miss them, an error is only logged."""

    def on_assigned(self, partitions: list[TopicPartition]) -> None:
        """Learn which partitions came; their positions are claimed, no message was handled yet."""

    def on_revoked(self, partitions: list[TopicPartition]) -> None:
        """Learn which partitions go; nothing of them commits after this."""

    # --- the same as a decorator --------------------------------------------------------------

    @overload
    def on(
        self,
        *topics: str,
        value_type: Any = None,
        decode: Decode | None = None,
        form: Literal["handle"] = "handle",
    ) -> Callable[[Callable[[M, S], R]], Callable[[M, S], R]]: ...

    @overload
    def on(
        self,
        *topics: str,
        value_type: Any = None,
        decode: Decode | None = None,
        form: Literal["batch"],
    ) -> Callable[[Callable[[Sequence[M], S], R]], Callable[[Sequence[M], S], R]]: ...

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
        """Make a function the handler of ``topics``.

        Without ``topics`` those of the consumer. ``form="handle"``: ``(message, session)``;
        ``form="batch"``: ``(messages, session)``, the consecutive messages of one partition;
        ``form="writes"``: ``(message)``, returns or yields writes, which the library sends.
        Raises ``ConfigurationError`` for a topic that has a handler already, for an unknown form,
        and where there is no topic.
        """
        return self._registering(topics, value_type, decode, form)

    # --- running ------------------------------------------------------------------------------

    def run(self) -> None:
        """Consume until ``stop``, SIGINT or SIGTERM; drains, leaves the group and returns.

        Blocks. Signal handlers are installed only on the main thread. Raises
        ``ConfigurationError`` before the first message where something is missing, and what ended
        the consumer: ``HandlerFailed``, ``DecodeError``, ``HandlerMisuse``, ``PositionError``,
        ``StoreError`` or ``BrokerError``.
        """
        self.run_until(never)

    def run_until(self, predicate: Callable[[Snapshot], bool]) -> Snapshot:
        """Consume until ``predicate`` is true of a snapshot of counters and positions.

        It is called on this thread after every batch, and at least once a second. Returns the
        last snapshot; everything else is as with ``run``.
        """
        must_not_wait(predicate)
        with self._alone():
            changed = Flag()
            news = None if predicate is never else changed
            watch = self._watch = Watch(self.events, news, lanes=self.config.lanes > 0)
            # Before the checks, which take a while: a stop that is asked for then counts as well.
            runner = self._runner = Runner(
                self.config, self.store, self._source, self._user(), watch, changed
            )
            if self._stopped_early:
                runner.stop()
            with signals_stop(self.stop):
                topics_exist(self._client, self._known_topics())
                runner.set_up()
                try:
                    runner.start()
                    while not runner.stopping and not predicate(watch.snapshot()):
                        changed.wait(1.0)
                        changed.clear()
                finally:
                    runner.stop()
                    runner.join()
        return watch.snapshot()

    def redrive(self, which: Selection = EVERY_LETTER, *, limit: int | None = None) -> Redriven:
        """Give the dead letters of this group to their handlers again, in order; return the sum.

        Kafka is not asked, and consumers of the group may run meanwhile. Each letter is one
        transaction, with its removal; in the other modes it is removed behind or before the
        handler. One whose handler fails stays, and so do those of its key behind it. ``which`` are
        meant; at most ``limit`` are tried. Raises ``StoreError`` and ``HandlerMisuse``.
        """
        self._not_forked()
        must_keep_letters(self.store)
        return redrive(self.config, self.store, self._user(), Watch(self.events), which, limit)

    def _user(self) -> User:
        own = type(self).after_commit is not Consumer.after_commit
        return User(
            self._routes, self.after_commit if own else None, self.on_assigned, self.on_revoked
        )

    # --- mistakes -----------------------------------------------------------------------------

    def _refuse_store(self, store: object) -> None:
        if not isinstance(store, Store):
            raise ConfigurationError(
                f"The second argument is a {type(store).__name__}, not a store; nothing was "
                "consumed. Give MongoStore.connect(url), for instance."
            )
        if inspect.iscoroutinefunction(store.open):
            raise ConfigurationError(
                f"{type(store).__name__} is a store for asyncio; nothing was consumed. Use an "
                "AsyncConsumer, or the store of the same name without Async."
            )

    def _refuse(self, function: Callable[..., object], form: Form | None) -> None:
        hooks = (self.after_commit, self.on_assigned, self.on_revoked)
        called: Iterable[Callable[..., object]] = (function, *hooks)
        for each in called:
            yields = form == "writes" and each is function
            if (
                is_awaitable(each)
                or is_async_generator(each)
                or (is_generator(each) and not yields)
            ):
                raise ConfigurationError(
                    f"{named(each)} is a coroutine or a generator function: calling it would do "
                    "nothing; nothing was consumed. Make it a plain function, or use an "
                    "AsyncConsumer."
                )
