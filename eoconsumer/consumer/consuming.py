"""What both consumers have: settings, handlers by topic, and a state."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from eoconsumer.codecs import Decode, Form, Route, Routes, model_decoder
from eoconsumer.config import Config
from eoconsumer.consumer.forms import ARGUMENTS, FORMS, must_not_wait, must_take, names_of
from eoconsumer.consumer.needs import must_serve, must_take_writes
from eoconsumer.core.modes import Mode
from eoconsumer.core.retry import RetryPolicy
from eoconsumer.errors import ConfigurationError, ForkError
from eoconsumer.kafka import KafkaSource, adapted, client_settings, of_reader
from eoconsumer.runner.watch import Watch
from eoconsumer.telemetry import Events, Snapshot

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_SETTINGS = (
    "group", "mode", "start", "batch_size", "batch_bytes", "max_partitions", "readers", "lanes",
    "retry", "on_poison", "restart", "commit_batch", "commit_interval", "positions", "applied_log",
    "on_identity_change", "on_data_loss", "identity_interval", "mirror", "kafka",
)  # fmt: skip


class Stoppable(Protocol):
    """All readers of a consumer, run by threads or by an event loop."""

    def stop(self) -> None:
        """Ask them to end, from any thread."""


def never(_: Snapshot) -> bool:
    """Be no reason to end: what ``run`` waits for, and so nobody is woken by a batch.

    Seen at 500 messages/s: a quarter of the time that Python's lock was held went to the thread
    that waits, just when the readers wanted it.
    """
    return False


class Consuming(Generic[T]):
    """The settings (``Consumer`` tells what they mean), the handlers and the state of a consumer.

    ``T`` is the kind of its store.
    """

    topics: Sequence[str] | str = ()
    group: str = ""
    mode: Mode | str = Mode.EXACTLY_ONCE
    start: str | int | datetime = "earliest"
    batch_size: int = 10_000
    batch_bytes: int = 16 * 1024 * 1024
    max_partitions: int | None = None
    readers: int = 2
    lanes: int = 0
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
        store: T,
        *,
        topics: Sequence[str] | str | None = None,
        group: str | None = None,
        mode: Mode | str | None = None,
        start: str | int | datetime | None = None,
        batch_size: int | None = None,
        batch_bytes: int | None = None,
        max_partitions: int | None = None,
        readers: int | None = None,
        lanes: int | None = None,
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
        self._refuse_hooks()
        self._refuse_store(store)
        must_serve(store, self.config)
        self.store = store
        self._client = client_settings(
            bootstrap_servers, self.config.group, self.config.mode, self.config.kafka
        )
        self._routes = Routes()
        self._add_methods()
        self._running = threading.Lock()
        self._runner: Stoppable | None = None
        self._watch: Watch | None = None
        self._stopped_early = False
        self._pid = os.getpid()

    def _refuse_hooks(self) -> None:
        """Raise ``ConfigurationError`` where the hooks of ``events`` could not be called."""
        if isinstance(self.events, type):
            raise ConfigurationError(
                f"events= is a class; nothing was consumed. Give {self.events.__name__}()."
            )
        for name in vars(Events):
            if callable(hook := getattr(self.events, name, None)):
                must_not_wait(hook)

    def _refuse_store(self, store: object) -> None:
        """Raise ``ConfigurationError`` where ``store`` is not of the consumer's kind."""
        raise NotImplementedError

    def _refuse(self, function: Callable[..., object], form: Form | None) -> None:
        """Raise ``ConfigurationError`` where ``function`` cannot be called as the consumer does.

        ``form`` is that of a handler; None for a decoder.
        """
        raise NotImplementedError

    # --- handlers -----------------------------------------------------------------------------

    def _registering(
        self, topics: tuple[str, ...], value_type: Any, decode: Decode | None, form: Form
    ) -> Callable[[F], F]:
        """Return what makes a function the handler of ``topics``; see ``on``."""
        if form not in FORMS.values():
            raise ConfigurationError(
                f"form={form!r} is unknown; nothing was consumed. Use {list(FORMS.values())}."
            )
        if any(callable(topic) for topic in topics):
            raise ConfigurationError(
                "@consumer.on has no parentheses; nothing was consumed. Write @consumer.on(topic), "
                "or @consumer.on() for the topics of the consumer."
            )
        names = topics or names_of(self.topics)
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
        forms = [name for name in FORMS if callable(getattr(self, name, None))]
        is_subclass = Consuming not in type(self).__bases__
        if len(forms) > 1 or (not forms and is_subclass):
            raise ConfigurationError(
                f"{type(self).__name__} defines {' and '.join(forms) or 'no handler'}; nothing was "
                "consumed. Define exactly one of writes(self, message), handle(self, message, "
                "session) and handle_batch(self, messages, session)."
            )
        if forms:
            names = names_of(self.topics)
            if not names:
                raise ConfigurationError(
                    f"{type(self).__name__} has no topics; nothing was consumed. Set topics=[...]."
                )
            decode = getattr(self, "decode", None)
            self._add(names, FORMS[forms[0]], getattr(self, forms[0]), decode, self.value_type)

    def _add(
        self,
        topics: tuple[str, ...],
        form: Form,
        handler: Callable[..., object],
        decode: Decode | None,
        value_type: Any,
    ) -> None:
        """Register a handler."""
        self._refuse(handler, form)
        must_take(handler, ARGUMENTS[form])
        if form == "writes":
            must_take_writes(self.store)
        decoder: Decode | None = None if value_type is None else model_decoder(value_type)
        if decode is not None:
            self._refuse(decode, None)
            decoder = adapted(decode)
            must_take(decoder, ("message",))
        self._routes.add(Route(topics, form, handler, decoder))

    # --- running ------------------------------------------------------------------------------

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

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Refuse a second run at the same time."""
        self._not_forked()
        if not self._running.acquire(blocking=False):
            raise ConfigurationError(
                "This consumer is running already; nothing new was started. Make another one, or "
                "set readers=."
            )
        try:
            self._pid = os.getpid()
            yield
        finally:
            self._runner, self._stopped_early = None, False
            self._running.release()

    def _known_topics(self) -> list[str]:
        """Return the topics that have a handler; raises ``ConfigurationError`` for none."""
        if not self._routes.topics:
            raise ConfigurationError(
                "There is no handler; nothing was consumed. Decorate one with @consumer.on(topic)."
            )
        return self._routes.topics

    def _source(self, number: int) -> KafkaSource:
        return KafkaSource(of_reader(self._client, number, self.config.reader_count))

    def _not_forked(self) -> None:
        if self._runner is not None and os.getpid() != self._pid:
            raise ForkError
