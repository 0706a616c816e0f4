"""The worker processes: started, listened to, given orders, and started again when gone."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.chaos.journal import Journal
from tests.nursery import Child

PROGRAM = Path(__file__).with_name("worker.py")
Line = dict[str, Any]


class Member:
    """One worker process; what it says goes to a file, and is kept to be waited for."""

    def __init__(self, slot: int, folder: Path, told: Mapping[str, Any]) -> None:
        self.slot = slot
        self.expected = False  # whether its end was asked for
        self._lines: list[Line] = []
        self._news = threading.Condition()
        self._spoken = folder / f"worker-{slot}.jsonl"
        self._process = Child(PROGRAM, json.dumps(told), folder / f"worker-{slot}.log")
        self.pid = self._process.pid
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def code(self) -> int | None:
        return self._process.returncode

    def tell(self, **order: Any) -> None:
        """Give it an order; one that is gone does not mind."""
        with suppress(BrokenPipeError, ValueError):
            self._process.stdin.write((json.dumps(order) + "\n").encode())

    def heard(self, said: str, since: float = 0.0) -> list[Line]:
        """Return what it said of one kind, after ``since`` (monotonic seconds)."""
        with self._news:
            return [line for line in self._lines if line["said"] == said and line["at"] > since]

    def wait_for(self, said: str, since: float = 0.0, seconds: float = 10.0) -> Line | None:
        """Wait until it has said so after ``since``; None if it did not, or is gone."""
        until = time.monotonic() + seconds
        while True:
            if seen := self.heard(said, since):
                return seen[0]
            if time.monotonic() > until or not self._listener.is_alive():
                return None
            with self._news:
                self._news.wait(0.1)

    def signal(self, number: signal.Signals) -> float:
        """Send it a signal; return when, by a look at the clock before. One gone does not mind."""
        sent = time.monotonic()
        if number in (signal.SIGKILL, signal.SIGTERM):
            self.expected = True
        self._process.send_signal(number)
        return sent

    def wait_until_gone(self, seconds: float) -> bool:
        """Wait until it has ended; False if it did not."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self) -> None:
        """Let all that it said be read."""
        self._listener.join(10)
        with suppress(BrokenPipeError):
            self._process.stdin.close()

    def _listen(self) -> None:
        with self._process.stdout as stdout, self._spoken.open("ab") as file:
            for text in stdout:
                file.write(text)
                try:
                    line = json.loads(text)
                except ValueError:  # cut off by SIGKILL
                    continue
                with self._news:
                    self._lines.append(line)
                    self._news.notify_all()


class Crew:
    """So many workers; one that is gone is started again at once, until they are dismissed."""

    def __init__(
        self, count: int, folder: Path, journal: Journal, told: Callable[[int], dict[str, Any]]
    ) -> None:
        self._folder = folder
        self._journal = journal
        self._told = told
        self._lock = threading.RLock()
        self._wanted = True
        self.settings: dict[str, Any] = {}  # of the group's protocol; for those that start next
        self.members: list[Member] = []
        self._count = count
        self._keeper = threading.Thread(target=self._keep, name="crew", daemon=True)

    def start(self) -> None:
        self.members = [self._launch(slot) for slot in range(self._count)]
        self._keeper.start()

    def __getitem__(self, slot: int) -> Member:
        with self._lock:
            return self.members[slot % self._count]

    def switch(self, settings: dict[str, Any]) -> bool:
        """End all workers, and start them with other settings of Kafka; True if all ended well."""
        with self._lock:
            for member in self.members:
                member.signal(signal.SIGTERM)
            gone = [member.wait_until_gone(30) and member.code == 0 for member in self.members]
            for member in self.members:
                member.signal(signal.SIGKILL)
            self.settings = settings
        return all(gone)

    def dismiss(self) -> None:
        """End all workers for good."""
        with self._lock:
            self._wanted = False
            for member in self.members:
                member.signal(signal.SIGCONT)
                member.signal(signal.SIGTERM)
        for member in self.members:
            if not member.wait_until_gone(30):
                member.signal(signal.SIGUSR1)  # its log tells where it is
                member.wait_until_gone(1)
                member.signal(signal.SIGKILL)
                member.wait_until_gone(10)
                self._journal.write("stuck", slot=member.slot)
            member.close()

    def _launch(self, slot: int) -> Member:
        told = self._told(slot)
        told["settings"]["kafka"] |= self.settings
        return Member(slot, self._folder, told)

    def _keep(self) -> None:
        while self._wanted:
            with self._lock:
                for slot, member in enumerate(self.members):
                    if self._wanted and not member.alive:
                        expected = member.expected or member.code == -signal.SIGKILL
                        self._journal.write("exit", slot=slot, code=member.code, expected=expected)
                        member.close()
                        self.members[slot] = self._launch(slot)
            time.sleep(0.1)
