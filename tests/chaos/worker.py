"""A worker of the chaos run: a real app on the library, which does as it is told at named points.

Takes one argument, a JSON object; see ``Crew``. Says what happens in JSON lines on stdout, and
takes orders in JSON lines on stdin: ``{"arm": point, "do": "kill" or "stop"}``, ``{"disarm": 1}``,
``{"rejoin": 1}``, ``{"clock": seconds}``. Ends when stdin does: then its run is over.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pymongo.pool_shared
from pymongo import monitoring

from eoconsumer import Message
from eoconsumer.core.commit import Commits
from eoconsumer.core.settings import Settings
from eoconsumer.message import TopicPartition
from eoconsumer.stores.mongo import MongoStore
from eoconsumer.stores.mongo.session import MongoSession
from eoconsumer.stores.mongo.transaction import MongoTransaction
from eoconsumer.telemetry import Events
from tests.chaos.app import FORMS, Apply, transfer
from tests.chaos.commands import Commands

if TYPE_CHECKING:
    from eoconsumer.stores.sql import SQLStore

writing = threading.Lock()


def say(said: str, **details: Any) -> None:
    line = json.dumps({"said": said, "at": time.monotonic(), "pid": os.getpid(), **details})
    with writing:  # a long line takes more than one write
        os.write(1, (line + "\n").encode())


class Orders:
    """What the worker was told to do, and where."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.rejoin = threading.Event()
        self._armed: dict[str, str] = {}
        self._lock = threading.Lock()
        self._real_time = time.time

    def listen(self) -> None:
        """Take orders until there is nobody to give any."""
        for line in sys.stdin:
            order = json.loads(line)
            if "arm" in order:
                with self._lock:
                    self._armed = {order["arm"]: order["do"]}
            if "disarm" in order:
                with self._lock:
                    self._armed = {}
            if "rejoin" in order:
                self.rejoin.set()
            if "clock" in order:
                self._shift(order["clock"])
        os._exit(1)

    def _shift(self, seconds: float) -> None:
        time.time = lambda: self._real_time() + seconds
        say("clock", seconds=seconds, shows=time.time())

    def at(self, point: str) -> None:
        """Do as told if this is the point, once."""
        if point not in self._armed:
            return
        with self._lock:
            how = self._armed.pop(point, None)
        if how is not None:
            say("point", point=point)
            # To this thread: another would stop first, and this one a moment later, past the point.
            number = signal.SIGKILL if how == "kill" else signal.SIGSTOP
            signal.pthread_kill(threading.get_ident(), number)


orders = Orders()


def pointed(owner: type, method: str, before: str, after: str) -> None:
    """Make a method of the store pass two points."""
    original: Callable[..., Any] = getattr(owner, method)

    def call(*args: Any) -> Any:
        orders.at(before)
        result = original(*args)
        orders.at(after)
        return result

    setattr(owner, method, call)


def redirect(ports: Mapping[str, int]) -> None:
    """Connect to the proxies of this worker where the servers' own ports are asked for."""
    connect = pymongo.pool_shared._create_connection

    def through_proxy(address: tuple[str, int], options: Any) -> Any:
        host, port = address
        return connect((host, ports.get(str(port), port)), options)

    pymongo.pool_shared._create_connection = through_proxy


def impatient(seconds: float) -> None:
    """Repeat a commit in doubt for so long only; users cannot set this."""
    commits = Commits.__init__

    def init(self: Commits, settings: Settings) -> None:
        commits(self, replace(settings, commit_timeout=seconds))

    Commits.__init__ = init  # type: ignore[method-assign]


def passing(transaction: type, session: type) -> None:
    """Make a store pass all points."""
    for scope in (transaction, session):
        pointed(scope, "advance", "advancing", "advanced")
    pointed(transaction, "commit", "committing", "committed")
    pointed(session, "positions", "asking", "asked")


def on_mongo(told: Mapping[str, Any]) -> tuple[MongoStore, Apply]:
    """Return a store that is listened to, and what writes to it."""
    redirect(told["proxies"])
    monitoring.register(Commands(say))
    passing(MongoTransaction, MongoSession)
    store = MongoStore.connect(told["store"])
    return store, partial(transfer, store.database, orders.at)


def on_sql(told: Mapping[str, Any]) -> tuple[SQLStore, Apply]:
    """Return the same for a SQL database; the way through the proxy is in its URL."""
    # Imported here: many workers of MongoDB are started, and SQLAlchemy would take half their time.
    from eoconsumer.stores.sql import SQLStore
    from eoconsumer.stores.sql.session import SQLSession
    from eoconsumer.stores.sql.transaction import SQLTransaction
    from tests.chaos.sql.app import transfer as transfer_in_sql
    from tests.chaos.sql.statements import Statements

    passing(SQLTransaction, SQLSession)
    store = SQLStore.connect(told["store"])
    Statements(store.engine, say)
    return store, partial(transfer_in_sql, orders.at)


class Said(Events):
    """Says what happens inside the consumer."""

    def claimed(self, positions: Mapping[TopicPartition, int]) -> None:
        say("claimed", positions={f"{k.topic}-{k.partition}": o for k, o in positions.items()})

    def fenced(self, partition: TopicPartition) -> None:
        say("fenced", partition=partition.partition)

    def identity_changed(
        self, partition: TopicPartition, error: BaseException, position: int
    ) -> None:
        say("identity changed", partition=partition.partition, position=position, error=str(error))

    def data_lost(
        self, partition: TopicPartition, error: BaseException, position: int, missing: int
    ) -> None:
        place = {"partition": partition.partition, "position": position}
        say("data lost", **place, missing=missing, error=str(error))

    def buried(self, message: Message, error: BaseException, attempts: int) -> None:
        place = {"partition": message.partition, "offset": message.offset}
        say("buried", **place, error=str(error), attempts=attempts)

    def in_doubt_resolved(self, committed: bool, tries: int) -> None:
        say("in doubt", committed=committed, tries=tries)

    def store_retry(self, error: BaseException, tries: int) -> None:
        say("store retry", error=str(error), tries=tries)

    def restarted(self, error: BaseException, attempt: int, delay: float) -> None:
        say("restarted", error=str(error), attempt=attempt, delay=delay)


def main(told: dict[str, Any]) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    signal.signal(signal.SIGTERM, lambda *_: orders.ended.set())  # between two runs
    faulthandler.register(signal.SIGUSR1)  # tells where every thread is, into the log
    threading.Thread(target=orders.listen, name="orders", daemon=True).start()
    if told.get("mutant"):
        getattr(import_module("tests.chaos.mutants"), told["mutant"])()
    store, apply = (on_mongo if told["store"].startswith("mongodb") else on_sql)(told)
    if "commit_timeout" in told:
        impatient(told["commit_timeout"])
    try:
        while not orders.ended.is_set():
            orders.rejoin.clear()
            form = FORMS[told["form"]]
            consumer = form(told["bootstrap"], store, events=Said(), **told["settings"])
            consumer.apply, consumer.ended = apply, orders.ended
            say("joining")
            consumer.run_until(lambda _: orders.ended.is_set() or orders.rejoin.is_set())
            say("left")
    except Exception as error:
        say("failed", kind=type(error).__name__, error=str(error))
        raise
    say("ended")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
