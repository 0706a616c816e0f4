"""One server as a child process: started, stopped, killed, paused, and gone when we are gone."""

from __future__ import annotations

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

from eoconsumer.errors import ConfigurationError
from eoconsumer.servers.startable import Startable

GUARD = Path(__file__).with_name("guard.py")
LOG_TAIL_LINES = 25

#: How many ports are reserved at a time by one process.
RESERVED = 32
_reservations: deque[socket.socket] = deque()


class ServerProcess(Startable):
    """A server with a port and a folder of its own; both survive a restart.

    The server runs in its own session, so that Ctrl-C in a terminal reaches this process only,
    which then stops its servers in order. A guard process ends it if this process is killed.
    """

    name = "server"
    #: The uid to run the server as; None: that of this process.
    user: int | None = None
    #: What asks it to end soon, whoever is connected.
    end_signal = signal.SIGTERM

    def __init__(self, port: int | None = None) -> None:
        """Take ``port``, or a free one; the server listens on 127.0.0.1 only."""
        self.port = port or free_port()
        self._folder: Path | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._owner = 0

    def command(self) -> list[str]:
        """Say which program and arguments to run, with :attr:`folder` for its files."""
        raise NotImplementedError

    def is_ready(self) -> bool:
        """Ask the running server whether it serves; must return within a second or so."""
        raise NotImplementedError

    @property
    def folder(self) -> Path:
        """The server's temporary folder: made when first asked for, removed by :meth:`stop`."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix=f"eoconsumer-{self.name}-"))
            if self.user is not None:
                os.chown(self._folder, self.user, -1)
            self._owner = os.getpid()
            atexit.register(self.stop)
        return self._folder

    @property
    def log(self) -> Path:
        """The file that holds all that the server printed."""
        return self.folder / "server.log"

    @property
    def pid(self) -> int:
        """The server's process id.

        Raises:
            RuntimeError: when the server is not running.
        """
        if not self.alive:
            raise RuntimeError(f"The {self.name} on port {self.port} is not running; start it.")
        return self._pid

    @property
    def alive(self) -> bool:
        """Whether the process exists; a paused one does."""
        return self._guard is not None and self._guard.poll() is None

    def start(self, timeout: float = 60.0) -> None:
        """Start the server and wait until it serves, for at most ``timeout`` seconds.

        Raises:
            ConfigurationError: when the program is missing, the server ends or time is up; the
                message holds the last lines of the server's log.
        """
        try:
            self.launch()
            self.wait_until_ready(timeout)
        except BaseException:
            self.kill()
            raise

    def launch(self) -> None:
        """Start the process without waiting until it serves; harmless if it runs already."""
        if self.alive:
            return
        command = self.command()
        user = "" if self.user is None else str(self.user)
        with self.log.open("ab") as log:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", GUARD, str(os.getpid()), user, self.folder, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert self._guard.stdout is not None
        with self._guard.stdout as reported:
            self._pid = int(reported.readline() or 0)
        if not self._pid:
            raise self._failure("could not be started")

    def wait_until_ready(self, timeout: float = 60.0) -> None:
        """Wait until a launched server serves, for at most ``timeout`` seconds.

        Raises:
            ConfigurationError: as :meth:`start`.
        """
        deadline = time.monotonic() + timeout
        while not self.is_ready():
            if not self.alive:
                raise self._failure("ended while it was starting")
            if time.monotonic() > deadline:
                raise self._failure(f"did not serve within {timeout:g} s")
            time.sleep(0.02)

    def stop(self) -> None:
        """Kill the server and remove its files; harmless if it is gone already.

        In a forked child this does nothing: the server belongs to the process that started it.
        """
        if self._owner != os.getpid():
            return
        self.kill()
        atexit.unregister(self.stop)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def kill(self) -> None:
        """Kill the server with SIGKILL and wait until it is gone; its files stay."""
        if self.alive:
            os.kill(self._pid, signal.SIGKILL)
        self._wait_for_end()

    def terminate(self, timeout: float = 20.0) -> bool:
        """Ask the server to end (``end_signal``), kill it after ``timeout`` seconds.

        Its files stay. Return whether it ended by itself.
        """
        if self.alive:
            os.kill(self._pid, self.end_signal)
            # A paused server notices only once it goes on.
            os.kill(self._pid, signal.SIGCONT)
        try:
            self._wait_for_end(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        return True

    def pause(self) -> None:
        """Stop the server in its tracks (SIGSTOP); connections to it stay open and hang."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    def restart(self, timeout: float = 60.0) -> None:
        """Start the server again on the same port with the same files; end it first if it runs.

        Raises:
            ConfigurationError: as :meth:`start`.
        """
        self.terminate()
        self.start(timeout)

    def _wait_for_end(self, timeout: float | None = None) -> None:
        if self._guard is None:
            return
        self._guard.wait(timeout)
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard = None

    def _failure(self, what: str) -> ConfigurationError:
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return ConfigurationError(
            f"The {self.name} on 127.0.0.1:{self.port} {what}. "
            "The last lines of its log:\n  " + "\n  ".join(lines or ["(the log is empty)"])
        )


def free_port() -> int:
    """Choose a free port below those that the system gives to outgoing connections.

    From that range some client could take the port while its server is down for a restart. Until
    this process has chosen ``RESERVED`` others, no other process chooses it: 1. two find it free,
    2. both start a server, which takes seconds, 3. the slower one finds it taken.
    """
    while not (is_free(port := random.randrange(15_000, 32_000)) and _reserve(port)):
        pass
    return port


def _reserve(port: int) -> bool:
    """Take ``port`` of UDP, which no server here wants; return False if somebody has it."""
    reservation = socket.socket(type=socket.SOCK_DGRAM)
    try:
        reservation.bind(("127.0.0.1", port))
    except OSError:
        reservation.close()
        return False
    _reservations.append(reservation)
    _give_back(RESERVED)
    return True


def _give_back(kept: int = 0) -> None:
    while len(_reservations) > kept:
        _reservations.popleft().close()


atexit.register(_give_back)


def is_free(port: int) -> bool:
    """Whether a server could listen on ``port`` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
