"""The command line as users call it: a process, in a folder with a module of theirs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TIMEOUT = 120.0  # seconds; the machine may be busy

SHOP = """
import os

from eoconsumer import AsyncConsumer, Consumer
from eoconsumer.stores import open_async_store

class Ledger(Consumer):
    topics = [{topic!r}]
    group = {topic!r}
    kafka = {{"session.timeout.ms": 1500, "heartbeat.interval.ms": 300}}

    def handle_batch(self, messages, session):
        rows = [{{"partition": each.partition, "offset": each.offset}} for each in messages]
        self.store.database["effects"].insert_many(rows, session=session)

class Failing(Ledger):
    group = {topic!r} + "-failing"

    def handle_batch(self, messages, session):
        raise ValueError("no coffee")

class AsyncLedger(AsyncConsumer):
    topics, group, kafka = Ledger.topics, Ledger.group, Ledger.kafka

    async def handle_batch(self, messages, session):
        rows = [{{"partition": each.partition, "offset": each.offset}} for each in messages]
        await self.store.database["effects"].insert_many(rows, session=session)

class AsyncFailing(AsyncLedger):
    group = Failing.group

    async def handle_batch(self, messages, session):
        raise ValueError("no coffee")

made = AsyncConsumer(
    os.environ["EOCONSUMER_BOOTSTRAP_SERVERS"],
    open_async_store(os.environ["EOCONSUMER_STORE"]),
    topics=Ledger.topics,
    group=Ledger.group,
    kafka=Ledger.kafka,
)

@made.on(form="batch")
async def insert(messages, session):
    await AsyncLedger.handle_batch(made, messages, session)
"""


class Shop:
    """A folder with the module ``shop``, whose consumers read ``topic``."""

    def __init__(self, folder: Path, bootstrap: str, store: str, topic: str) -> None:
        (folder / "shop.py").write_text(SHOP.format(topic=topic))
        self.folder = folder
        self.environment = {
            **os.environ,
            "EOCONSUMER_BOOTSTRAP_SERVERS": bootstrap,
            "EOCONSUMER_STORE": store,
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", "from eoconsumer.cli import main; main()", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, *arguments: str) -> tuple[int, str, str]:
        """Run to the end; return exit code, output and complaint."""
        with self.start(*arguments) as process:
            try:
                out, complaint = process.communicate(timeout=TIMEOUT)
            finally:
                process.kill()
        assert "Traceback" not in complaint, complaint
        return process.returncode, out, complaint
