"""The processes of `eoconsumer run`: they share nothing but the group, and end together."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import NoReturn

import typer

from eoconsumer.cli import FAILED, calling
from eoconsumer.cli.exits import Failure, complain, failure
from eoconsumer.cli.target import Target
from eoconsumer.errors import EOConsumerError

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run(target: Target, workers: int) -> None:
    """Run ``workers`` consumers until a signal; one of them in this process.

    Raises ``EOConsumerError`` as ``Consumer.run`` does, and ``typer.Exit`` with the exit code of
    the first worker process that failed, after its message was shown and the others had stopped.
    """
    if workers == 1:
        _consume(target)
        return
    # Here, too, so that a mistake is told once, and no process is started for it.
    target.consumer()
    with _Team() as team:
        for number in range(1, workers + 1):
            team.start(number, target)
        team.join()
    if team.failure is not None:
        raise typer.Exit(team.failure.code)


def _consume(target: Target) -> None:
    """Make the consumer and run it.

    Before it is at work, a signal ends the process at once; afterwards it ends anyway, and a signal
    that comes once more must neither break into the clean-up nor change the exit code.
    """
    _log_to_stderr()
    _on_signals(_leave)
    consumer = target.consumer()
    # What was imported lives as long as this process: full collections need not look through it.
    gc.collect()
    gc.freeze()
    try:
        calling.run(consumer)
    finally:
        _on_signals(signal.SIG_IGN)


def _on_signals(handler: Callable[..., object] | signal.Handlers) -> None:
    for number in SIGNALS:
        signal.signal(number, handler)


def _leave(*_: object) -> NoReturn:
    """End without an exception: one that is raised inside of ``__del__``, say, would be lost."""
    os._exit(0)


def _log_to_stderr() -> None:
    """Show the library's log, unless the user's module sets up logging itself."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(processName)s %(name)s: %(message)s")
    logging.getLogger("eoconsumer").setLevel(logging.INFO)


def _work(target: Target, outcome: Connection) -> None:
    """Be a worker process; a failure is sent to the parent, which alone speaks to the user."""
    threading.Thread(target=_follow_parent, daemon=True).start()
    try:
        _consume(target)
    except EOConsumerError as error:
        outcome.send(failure(error))
        raise SystemExit(failure(error).code) from None


def _follow_parent() -> None:
    """Drain and end when the parent is gone, even by SIGKILL: nobody would stop us later."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


class _Team:
    """Worker processes, spawned: Kafka's threads do not survive a fork."""

    def __init__(self) -> None:
        self._spawn = multiprocessing.get_context("spawn")
        self._workers: dict[SpawnProcess, Connection] = {}
        self._stopping = False
        self.failure: Failure | None = None

    def __enter__(self) -> _Team:
        _on_signals(self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        for worker in self._workers:
            worker.join()
        _on_signals(signal.SIG_IGN)

    def start(self, number: int, target: Target) -> None:
        """Start worker ``number``, unless the team is stopping already."""
        received, sent = self._spawn.Pipe(duplex=False)
        worker = self._spawn.Process(target=_work, args=(target, sent), name=f"worker-{number}")
        # Ctrl-C in a terminal reaches all processes of its group. A worker that is still importing
        # would answer with a stack trace; what is ignored here is ignored in a new process.
        with _ignored(signal.SIGINT):
            worker.start()
        sent.close()
        self._workers[worker] = received
        if self._stopping:
            worker.terminate()

    def join(self) -> None:
        """Wait until all workers are gone; at the first failure stop the others."""
        waiting = {worker.sentinel: worker for worker in self._workers}
        while waiting:
            ready = wait(list(waiting))
            for sentinel in [each for each in waiting if each in ready]:
                self._ended(waiting.pop(sentinel))

    def _ended(self, worker: SpawnProcess) -> None:
        worker.join()  # its end can be seen a moment before its exit code
        # A worker that was told to stop before it could listen is killed by the signal: no harm.
        if worker.exitcode == 0 or (self._stopping and worker.exitcode == -signal.SIGTERM):
            return
        told = self._told(worker)
        if self.failure is None:
            self.failure = told
            complain(f"{worker.name}: {told.message}")
            self._stop()

    def _told(self, worker: SpawnProcess) -> Failure:
        try:
            told: Failure = self._workers[worker].recv()
        except EOFError:
            code = worker.exitcode or 0
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            told = Failure(f"it ended with {how}; the other workers are stopped", FAILED)
        return told

    def _stop(self, *_: object) -> None:
        self._stopping = True
        for worker in self._workers:
            worker.terminate()


@contextmanager
def _ignored(number: signal.Signals) -> Iterator[None]:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)
