"""All readers of a consumer: their threads, their restarts, and how they end."""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from eoconsumer.config import Config
from eoconsumer.core import effects as fx
from eoconsumer.core.board import Board
from eoconsumer.core.dealer import Dealer, LaneFlow
from eoconsumer.core.flow import Flow
from eoconsumer.core.lanes import Lane
from eoconsumer.core.starting import set_up
from eoconsumer.errors import BrokerError, StoreError
from eoconsumer.protocols import LaneStore, Source, Store
from eoconsumer.runner.driving import drive
from eoconsumer.runner.flag import Flag
from eoconsumer.runner.lanes import DealerReader, LaneReader, Lanes, LaneSource
from eoconsumer.runner.reader import Reader
from eoconsumer.runner.user import User
from eoconsumer.runner.watch import Watch

log = logging.getLogger("eoconsumer.consumer")


class Runner:
    """Runs ``config.reader_count`` readers until one fails for good or stop is asked for."""

    def __init__(
        self,
        config: Config,
        store: Store[Any],
        make_source: Callable[[int], Source],
        user: User,
        watch: Watch,
        changed: Flag,
    ) -> None:
        """Start nothing yet; ``changed`` wakes who waits for the end, or for news of ``watch``."""
        self._config = config
        self._store = store
        self._make_source = make_source
        self._user = user
        self._watch = watch
        self._changed = changed
        self._stopping = Flag()
        self._threads: list[threading.Thread] = []
        self.failure: BaseException | None = None

    def set_up(self) -> None:
        """Make the store ready, with patience; raises ``StoreError`` and ``ConfigurationError``."""
        how: dict[type, Callable[[Any], Any]] = {
            fx.SetUp: lambda _: self._store.setup(),
            fx.Now: lambda _: time.monotonic(),
            fx.Chance: lambda _: random.random(),
            fx.Sleep: lambda effect: self._stopping.wait(effect.seconds),
            fx.Report: lambda effect: self._watch.report(effect.name, effect.details),
        }
        drive(set_up(self._config.of_reader(0)), lambda effect: how[type(effect)](effect))

    def start(self) -> None:
        """Start the readers, each on a thread of its own."""
        for number in range(self._config.reader_count):
            thread = threading.Thread(
                target=self._read, args=(number,), name=f"eoconsumer-{self._config.group}-{number}"
            )
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Ask the readers to finish what they have in hand and leave."""
        self._stopping.set()
        self._changed.set()

    @property
    def stopping(self) -> bool:
        """Whether stop was asked for."""
        return self._stopping.is_set()

    def join(self) -> None:
        """Wait for the readers; raise what ended them, if anything did."""
        log.info("finishing what is in hand")
        for thread in self._threads:
            thread.join()
        if self.failure is not None:
            raise self.failure

    def _read(self, number: int) -> None:
        """Run one reader, and a new one where it lost its broker or its database."""
        attempt = 0
        while not self._stopping.is_set():
            reader: Reader | None = None
            try:
                reader = self._reader(number)
                reader.run()
            except (BrokerError, StoreError) as error:
                attempt = 1 if reader is not None and reader.moved else attempt + 1
                if attempt > self._config.restart.attempts:
                    self._fail(error)
                    return
                delay = self._config.restart.delay(attempt, random.random())
                details = {"error": error, "attempt": attempt, "delay": delay}
                self._watch.report("restarted", details)
                self._stopping.wait(delay)
            except BaseException as error:
                self._fail(error)
                return

    def _reader(self, number: int) -> Reader:
        source = self._make_source(number)
        try:
            owner = owner_name(number)
            if self._config.lanes:
                return self._dealer(number, owner, source)
            session = self._store.open(self._config.group, owner)
        except BaseException:
            source.close()
            raise
        settings, lifetime = self._config.of_reader(number), self._store.transaction_seconds
        return Reader(
            Flow(settings.within(lifetime, source.max_poll_seconds)),
            source,
            session,
            self._user,
            self._watch,
            self._stopping,
            lifetime,
        )

    def _dealer(self, number: int, owner: str, source: Source) -> DealerReader:
        """Make a reader that deals its messages to lanes."""
        assert isinstance(self._store, LaneStore), "looked at when the consumer was made"
        config, store = self._config, self._store
        group, count = config.group, config.lanes
        board = Board(count, config.batch_size, config.batch_bytes)
        lanes = Lanes(board, threading.current_thread().name)
        with ExitStack() as opened:
            sessions = []
            for lane in (Lane(one, count) for one in range(count + 1)):
                session = store.open_lane(group, lane.owner(owner), lane)
                opened.callback(session.close)
                sessions.append(session)
            opened.pop_all()  # all are there, and their readers close them
        dealers, *of_lanes = sessions
        for one, session in enumerate(of_lanes, 1):
            reader = LaneReader(
                LaneFlow(config.of_lane(number)),
                LaneSource(lanes, one),
                session,
                self._user,
                self._watch,
                lanes.over,
                store.transaction_seconds,
            )
            lanes.add(one, reader)
        return DealerReader(
            Dealer(config.of_reader(number)),
            source,
            dealers,
            self._user,
            self._watch,
            self._stopping,
            lanes,
        )

    def _fail(self, error: BaseException) -> None:
        self.failure = self.failure or error
        self.stop()


def owner_name(number: int) -> str:
    """Return a name for the reader ``number`` of this process that no other ever has."""
    return f"{socket.gethostname()}:{os.getpid()}:{number}:{uuid.uuid4().hex[:12]}"
