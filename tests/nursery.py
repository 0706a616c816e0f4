"""Processes of the tests, forked where what they run is imported already.

Tests start hundreds of workers and kill them, and an interpreter that imports the library takes
half a second of the processor each time. A nursery has imported it once. It has no threads, so what
it forks is as good as new; and it is the parent, so it hears when a child stops or ends, and tells.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: What workers import.
KNOWN = (
    "asyncmy",
    "eoconsumer",
    "eoconsumer.stores.mongo",
    "eoconsumer.stores.sql",
    "logging.config",
    "motor.motor_asyncio",
    "psycopg",
    "pymysql",
    "sqlalchemy.dialects.mysql.asyncmy",
    "sqlalchemy.dialects.mysql.pymysql",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.aiosqlite",
)
MOST_BYTES = 1 << 16  # of what a child is told
_starting = threading.Lock()


class Child:
    """A process that runs one program; it is to a nursery what ``Popen`` is to an interpreter."""

    def __init__(self, program: Path, argument: str, log: Path) -> None:
        """Start ``program`` with one ``argument`` in a session of its own; ``log`` takes stderr."""
        log.touch()
        theirs_in, ours_in = os.pipe()
        ours_out, theirs_out = os.pipe()
        ours, theirs = os.pipe()
        told = json.dumps([str(program), argument, str(log)]).encode()
        assert len(told) < MOST_BYTES
        socket.send_fds(nursery(), [told], [theirs_in, theirs_out, theirs])
        for each in (theirs_in, theirs_out, theirs):
            os.close(each)
        self.stdin = open(ours_in, "wb", buffering=0)  # noqa: SIM115 - it is the caller's
        self.stdout = open(ours_out, "rb")  # noqa: SIM115
        self._news = open(ours)  # noqa: SIM115
        self.pid = int(self._news.readline())
        self.returncode: int | None = None
        self._stopped = False
        self._changed = threading.Condition()
        threading.Thread(target=self._hear, daemon=True).start()

    def poll(self) -> int | None:
        """Return its exit code, or minus the signal that ended it; None while it is there."""
        return self.returncode

    def wait(self, seconds: float | None = None) -> int:
        """Wait until it has ended; return how. Raises ``subprocess.TimeoutExpired``."""
        with self._changed:
            self._changed.wait_for(lambda: self.returncode is not None, seconds)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", seconds or 0)
        return self.returncode

    def wait_until_stopped(self) -> None:
        """Wait until a signal has stopped it, or it has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self.returncode is not None)

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal; one that has ended does not mind."""
        with self._changed:
            self._stopped = self._stopped and number != signal.SIGCONT
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _hear(self) -> None:
        with self._news as news:
            for line in news:
                with self._changed:
                    how, _, code = line.partition(" ")
                    if how == "ended":
                        self.returncode = int(code)
                    self._stopped = True
                    self._changed.notify_all()
        with self._changed:
            if self.returncode is None:  # the nursery is gone, and who it started must not stay
                with suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
                self.returncode = 255
            self._changed.notify_all()


def nursery() -> socket.socket:
    """Return the nursery of this process, which is started once; it ends when this is closed."""
    with _starting:
        return _nursery()


@cache
def _nursery() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, "-m", "tests.nursery", str(theirs.fileno())]
        subprocess.Popen(command, cwd=ROOT, pass_fds=[theirs.fileno()], start_new_session=True)
    return ours


def serve(orders: socket.socket) -> tuple[str, str]:
    """Fork a child for each order; return in the child, with its program and its argument."""
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    news = dict[int, int]()  # by the child's pid: where to tell what becomes of it
    while True:
        ready, _, _ = select.select([orders.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, MOST_BYTES)
            _tell(news)
        if orders.fileno() not in ready:
            continue
        told, streams, _, _ = socket.recv_fds(orders, MOST_BYTES, 3)
        if not told:  # the tests are over, or were killed
            for pid in news:
                os.kill(pid, signal.SIGKILL)
            sys.exit()
        program, argument, log = json.loads(told)
        if not (pid := os.fork()):
            break
        news[pid] = streams.pop()
        os.write(news[pid], f"{pid}\n".encode())
        for stream in streams:
            os.close(stream)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    streams[2] = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    orders.detach()
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.setsid()
    return program, argument


def _tell(news: dict[int, int]) -> None:
    with suppress(ChildProcessError):  # there is none any more
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            if not pid:
                break
            stopped = os.WIFSTOPPED(status)
            said = "stopped" if stopped else f"ended {os.waitstatus_to_exitcode(status)}"
            with suppress(BrokenPipeError):
                os.write(news[pid], f"{said}\n".encode())
            if not stopped:
                os.close(news.pop(pid))


if __name__ == "__main__":
    for known in KNOWN:
        import_module(known)
    gc.collect()
    gc.freeze()  # so that collections in a child do not touch, and copy, what they share
    sys.argv[:] = serve(socket.socket(fileno=int(sys.argv[1])))
    sys.path.insert(0, str(Path(sys.argv[0]).parent))
    runpy.run_path(sys.argv[0], run_name="__main__")
