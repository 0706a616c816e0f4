"""What users subclass or decorate."""

from __future__ import annotations

import inspect
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from eoconsumer.codecs import Decode, Form, Route, Routes, model_decoder
from eoconsumer.config import Config
from eoconsumer.core.letters import EVERY_LETTER, Selection
from eoconsumer.core.modes import Mode
from eoconsumer.core.redrive import Redriven
from eoconsumer.core.retry import RetryPolicy
from eoconsumer.errors import ConfigurationError, ForkError
from eoconsumer.kafka import KafkaSource, adapted, client_settings, of_reader
from eoconsumer.kafka.check import topics_exist
from eoconsumer.message import Message, TopicPartition
from eoconsumer.protocols import Store
from eoconsumer.runner import Runner, User
from eoconsumer.runner.redrive import redrive
from eoconsumer.runner.watch import Watch
from eoconsumer.telemetry import Events, Snapshot

log = logging.getLogger("eoconsumer.consumer")
F = TypeVar("F", bound=Callable[..., object])

#: The forms of a handler, by the name of the method that a subclass defines.
_FORMS: dict[str, Form] = {"handle": "handle", "handle_batch": "batch", "writes": "writes"}
_SETTINGS = (
    "group", "mode", "start", "batch_size", "batch_bytes", "max_partitions", "readers", "retry",
    "on_poison", "restart", "commit_batch", "commit_interval", "positions", "applied_log",
    "on_identity_change", "on_data_loss", "identity_interval", "mirror", "kafka",
)  # fmt: skip


class Consumer:
    """Consumes Kafka into a transactional database, in one of three modes.

    Subclass it and define one of ``writes(self, message)``, ``handle(self, message, session)`` and
    ``handle_batch(self, messages, session)``, or make one and decorate functions with ``on``. Every
    setting can be a class attribute or an argument of the constructor; the argument wins.

    ``topics``: names, or regular expressions that begin with ``^``. ``group``: the consumer group,
    and the name under which positions are stored. ``mode``: what a crash may cost, see ``Mode``.
    ``start``: where a partition starts that has no stored position: "earliest", "latest",
    "error", "group" (what the Kafka group committed), a ``datetime`` or milliseconds since the
    epoch. ``batch_size`` (messages) and ``batch_bytes`` (bytes): upper bounds of one transaction.
    ``max_partitions``: how many partitions this consumer works on at once. ``readers``: threads,
    each with its own client, session and partitions. ``retry``: tries of a failing message;
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

    topics: Sequence[str] | str = ()
    group: str = ""
    mode: Mode | str = Mode.EXACTLY_ONCE
    start: str | int | datetime = "earliest"
    batch_size: int = 5_000
    batch_bytes: int = 16 * 1024 * 1024
    max_partitions: int | None = None
    readers: int = 2
    retry: RetryPolicy = RetryPolicy()
    on_poison: str = "stop"
    restart: RetryPolicy = RetryPolicy(attempts=10, minimum=0.5, maximum=30.0)
    commit_batch: int = 1_000
    commit_interval: float = 1.0
    positions: str = "store"
    applied_log: bool = False
    on_identity_change: str = "stop"
    on_data_loss: str = "stop"
    identity_interval: float = 5.0
    mirror: bool = True
    kafka: Mapping[str, Any] = {}
    events: Events = Events()
    value_type: Any = None

    def __init__(
        self,
        bootstrap_servers: str,
        store: Store[Any],
        *,
        topics: Sequence[str] | str | None = None,
        group: str | None = None,
        mode: Mode | str | None = None,
        start: str | int | datetime | None = None,
        batch_size: int | None = None,
        batch_bytes: int | None = None,
        max_partitions: int | None = None,
        readers: int | None = None,
        retry: RetryPolicy | None = None,
        on_poison: str | None = None,
        restart: RetryPolicy | None = None,
        commit_batch: int | None = None,
        commit_interval: float | None = None,
        positions: str | None = None,
        applied_log: bool | None = None,
        on_identity_change: str | None = None,
        on_data_loss: str | None = None,
        identity_interval: float | None = None,
        mirror: bool | None = None,
        kafka: Mapping[str, Any] | None = None,
        events: Events | None = None,
    ) -> None:
        """Check every setting; connect to nothing yet. Raises ``ConfigurationError``."""
        given = {name: value for name, value in locals().items() if value is not None}
        for name in ("topics", "events", *_SETTINGS):
            if name in given:
                setattr(self, name, given[name])
        values = {name: getattr(self, name) for name in _SETTINGS}
        self.config = Config.checked({"bootstrap_servers": bootstrap_servers, **values})
        self.mode = self.config.mode
        if not isinstance(store, Store):
            raise ConfigurationError(
                f"The second argument is a {type(store).__name__}, not a store; nothing was "
                "consumed. Give MongoStore.connect(url), for instance."
            )
        self.store = store
        self._client = client_settings(
            bootstrap_servers, self.config.group, self.config.mode, self.config.kafka
        )
        self._routes = Routes()
        self._add_methods()
        self._running = threading.Lock()
        self._runner: Runner | None = None
        self._watch: Watch | None = None
        self._stopped_early = False
        self._pid = os.getpid()

    # --- what a subclass may define -----------------------------------------------------------

    def after_commit(self, messages: Sequence[Message[Any]]) -> None:
        """Run stages after the transaction; a crash may miss them, an error is only logged."""

    def on_assigned(self, partitions: list[TopicPartition]) -> None:
        """Learn which partitions came; their positions are claimed, no message was handled yet."""

    def on_revoked(self, partitions: list[TopicPartition]) -> None:
        """Learn which partitions go; nothing of them commits after this."""

    # --- the same as a decorator --------------------------------------------------------------

    def on(
        self,
        *topics: str,
        value_type: Any = None,
        decode: Decode | None = None,
        form: Form = "handle",
    ) -> Callable[[F], F]:
        """Make a function the handler of ``topics``.

        Without ``topics`` those of the consumer. ``form="handle"``: ``(message, session)``;
        ``form="batch"``: ``(messages, session)``, the consecutive messages of one partition;
        ``form="writes"``: ``(message)``, returns or yields writes, which the library sends.
        Raises ``ConfigurationError`` for a topic that has a handler already, for an unknown form,
        and where there is no topic.
        """
        if form not in _FORMS.values():
            raise ConfigurationError(
                f"form={form!r} is unknown; nothing was consumed. Use {list(_FORMS.values())}."
            )

        names = topics or _names(self.topics)
        if not names:
            raise ConfigurationError(
                "@consumer.on() names no topic, and the consumer has none; nothing was consumed."
            )

        def register(function: F) -> F:
            self._add(names, form, function, decode, value_type)
            return function

        return register

    def _add_methods(self) -> None:
        """Register the handler that a subclass defines; exactly one form."""
        forms = [name for name in _FORMS if callable(getattr(self, name, None))]
        if len(forms) > 1 or (not forms and type(self) is not Consumer):
            raise ConfigurationError(
                f"{type(self).__name__} defines {' and '.join(forms) or 'no handler'}; nothing was "
                "consumed. Define exactly one of writes(self, message), handle(self, message, "
                "session) and handle_batch(self, messages, session)."
            )
        if forms:
            names = _names(self.topics)
            if not names:
                raise ConfigurationError(
                    f"{type(self).__name__} has no topics; nothing was consumed. Set topics=[...]."
                )
            decode = getattr(self, "decode", None)
            self._add(names, _FORMS[forms[0]], getattr(self, forms[0]), decode, self.value_type)

    def _add(
        self,
        topics: tuple[str, ...],
        form: Form,
        handler: Callable[..., object],
        decode: Decode | None,
        value_type: Any,
    ) -> None:
        """Register a handler; all that is called has to have done its work when it returns."""
        for function in (handler, decode, self.after_commit):
            yields = function is handler and form == "writes"
            if function is not None and _is_deferred(function, may_yield=yields):
                raise ConfigurationError(
                    f"{getattr(function, '__qualname__', function)} is a coroutine or a generator "
                    "function: calling it would do nothing; nothing was consumed. Make it a plain "
                    "function."
                )
        decoder = _decoder(value_type) if decode is None else adapted(decode)
        self._routes.add(Route(topics, form, handler, decoder))

    # --- running ------------------------------------------------------------------------------

    def run(self) -> None:
        """Consume until ``stop``, SIGINT or SIGTERM; drains, leaves the group and returns.

        Blocks. Signal handlers are installed only on the main thread. Raises
        ``ConfigurationError`` before the first message where something is missing, and what ended
        the consumer: ``HandlerFailed``, ``DecodeError``, ``HandlerMisuse``, ``PositionError``,
        ``StoreError`` or ``BrokerError``.
        """
        self.run_until(lambda _: False)

    def run_until(self, predicate: Callable[[Snapshot], bool]) -> Snapshot:
        """Consume until ``predicate`` is true of a snapshot of counters and positions.

        It is called on this thread after every batch, and at least once a second. Returns the
        last snapshot; everything else is as with ``run``.
        """
        self._not_forked()
        if not self._running.acquire(blocking=False):
            raise ConfigurationError(
                "This consumer is running already; nothing new was started. Make another one, or "
                "set readers=."
            )
        try:
            self._pid = os.getpid()
            watch = self._watch = Watch(self.events)
            # Before the checks, which take a while: a stop that is asked for then counts as well.
            runner = self._runner = Runner(
                self.config, self.store, self._source, self._user(), watch
            )
            if self._stopped_early:
                runner.stop()
            with self._signals():
                self._check()
                runner.start()
                try:
                    while not runner.stopping and not predicate(watch.snapshot()):
                        watch.changed.wait(1.0)
                        watch.changed.clear()
                finally:
                    runner.stop()
                    runner.join()
        finally:
            self._runner, self._stopped_early = None, False
            self._running.release()
        return watch.snapshot()

    def redrive(self, which: Selection = EVERY_LETTER, *, limit: int | None = None) -> Redriven:
        """Give the dead letters of this group to their handlers again, in order; return the sum.

        Kafka is not asked, and consumers of the group may run meanwhile. Each letter is one
        transaction, with its removal; in the other modes it is removed behind or before the
        handler. One whose handler fails stays, and so do those of its key behind it. ``which`` are
        meant; at most ``limit`` are tried. Raises ``StoreError`` and ``HandlerMisuse``.
        """
        self._not_forked()
        return redrive(self.config, self.store, self._user(), Watch(self.events), which, limit)

    def _source(self, number: int) -> KafkaSource:
        return KafkaSource(of_reader(self._client, number, self.config.reader_count))

    def _check(self) -> None:
        """Raise ``ConfigurationError`` for what is missing before the first message."""
        if not self._routes.topics:
            raise ConfigurationError(
                "There is no handler; nothing was consumed. Decorate one with @consumer.on(topic)."
            )
        topics_exist(self._client, self._routes.topics)
        self.store.setup()

    def stop(self) -> None:
        """Ask a running consumer to finish what it has in hand and return from ``run``.

        May be called from any thread, a signal handler or a message handler; does not wait. A stop
        before the first ``run`` makes that return at once: its thread may just have been started.
        """
        self._not_forked()
        runner = self._runner
        if runner is not None:
            runner.stop()
        elif self._watch is None:
            self._stopped_early = True

    def snapshot(self) -> Snapshot:
        """Return the counters and positions since ``run`` was called, or zeros before that."""
        self._not_forked()
        watch = self._watch
        return watch.snapshot() if watch is not None else Snapshot()

    def _user(self) -> User:
        own = type(self).after_commit is not Consumer.after_commit
        return User(
            self._routes, self.after_commit if own else None, self.on_assigned, self.on_revoked
        )

    def _not_forked(self) -> None:
        if self._runner is not None and os.getpid() != self._pid:
            raise ForkError

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Stop on SIGINT and SIGTERM; only the main thread may say so."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, _: object) -> None:
            log.info("%s: finishing what is in hand", signal.Signals(number).name)
            self.stop()

        before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _names(topics: Sequence[str] | str) -> tuple[str, ...]:
    return (topics,) if isinstance(topics, str) and topics else tuple(topics)


def _is_deferred(function: Callable[..., object], *, may_yield: bool) -> bool:
    """Whether a call only makes a coroutine or, unless it ``may_yield``, a generator."""
    while isinstance(function, partial):
        function = function.func
    if not inspect.isroutine(function):
        function = getattr(function, "__call__", function)  # noqa: B004 - an object that is called
    if inspect.isgeneratorfunction(function):
        return not may_yield
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def _decoder(value_type: Any) -> Decode | None:
    return None if value_type is None else model_decoder(value_type)
