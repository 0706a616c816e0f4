"""One run: servers, workers, feeder, observers and nemesis; then the checker."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import tempfile
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from eoconsumer.servers import KafkaBroker
from tests.chaos import side
from tests.chaos.checker.evidence import Evidence
from tests.chaos.checker.gather import Where, gather
from tests.chaos.checker.servers import read_database, read_topic
from tests.chaos.crew import Crew, Member
from tests.chaos.feeder import STOCK, Feeder, accounts
from tests.chaos.journal import Journal
from tests.chaos.nemesis import Field, Nemesis
from tests.chaos.nemesis.field import SESSION_TIMEOUT
from tests.chaos.nemesis.workers import settings_for
from tests.chaos.observer import Changes
from tests.chaos.plan import PROTOCOLS, STORES, Fault, first_protocol
from tests.chaos.proxy import Proxies
from tests.chaos.stores import DATABASE, MongoDB, Tried, database_of

ROOT = Path(__file__).parents[2]

TOPIC, GROUP = "transfers", "chaos"
PARTITIONS = 6
DRAIN = 90.0  # seconds for what is left when the faults are over
CLAIMED = 180.0  # seconds for workers to start and to claim all partitions; the machine may be busy
#: A run on a busy machine may take this much longer than planned; and a short one so many seconds.
SLACK, ROOM = 3.0, 300.0

BROKER = {
    "group.consumer.session.timeout.ms": str(int(SESSION_TIMEOUT * 1000)),
    # A lone broker that was paused for longer fences itself, and its metadata names no broker for a
    # moment. Some clients of librdkafka 2.16 then forget the last address that they had, for good.
    "broker.session.timeout.ms": "6000",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
}


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is to be."""

    seed: int
    minutes: float
    folder: Path
    mode: str = "exactly_once"
    store: str = STORES[0]
    mutant: str | None = None
    workers: int = 3
    rate: float = 60.0  # messages a second


def commit() -> str:
    """Return the commit of the tree that is tried, with a mark if it was changed."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def run(options: Options, plan: list[Fault]) -> Evidence:
    """Carry a plan out, and return the evidence."""
    folder = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    canary = f"canary-{secrets.token_hex(12)}"
    with ExitStack() as stack:
        kafka = stack.enter_context(KafkaBroker(settings=BROKER))
        database = stack.enter_context(database_of(options.store, folder))
        journals = {
            name: Journal(folder / f"{name}.jsonl")
            for name in ("feed", "side", "snapshots", "changes", "faults", "crew")
        }
        kafka.create_topic(TOPIC, PARTITIONS)
        database.prepare(canary)
        proxies = Proxies(options.workers, database.ports)
        proxies.start()
        feeder = Feeder(
            kafka.bootstrap_servers, TOPIC, PARTITIONS, options.rate, options.seed, journals["feed"]
        )
        changes = database.changes(journals["changes"])
        snapshots = database.snapshots(journals["snapshots"])

        def told(slot: int) -> dict[str, Any]:
            return {
                "bootstrap": kafka.bootstrap_servers,
                **database.told(proxies.ports(slot), canary),
                "form": "each" if slot == 0 else "runs",
                "mutant": options.mutant,
                "settings": {
                    "topics": TOPIC,
                    "group": GROUP,
                    "mode": options.mode,
                    "on_poison": "bury",
                    "batch_size": 200,
                    "readers": database.readers if slot == 2 else 1,
                    "retry": {"attempts": 2, "minimum": 0.05},
                    "kafka": {"sasl.username": "chaos", "sasl.password": canary},
                },
            }

        crew = Crew(options.workers, folder, journals["crew"], told)
        crew.settings = dict(settings_for(first_protocol(plan)))
        other = None
        if isinstance(database, MongoDB):
            of_side = {
                "store": database.secret_url(canary, side.DATABASE),
                "proxies": {},
                "settings": {**side.SETTINGS, "kafka": settings_for(PROTOCOLS[0])},
            }
            launch = partial(Member, options.workers, folder, told(0) | of_side)
            other = side.Side(kafka, database.url, journals["side"], launch)
        field = Field(
            kafka, database.server, crew, proxies, feeder, other, changes, TOPIC, DATABASE
        )
        changes.start()
        snapshots.start()
        try:
            crew.start()
            if other:
                other.start()
            feeder.start()
            _wait_until_claimed(changes)
            planned = options.minutes * 60
            Nemesis(field, plan, journals["faults"]).run(max(planned * SLACK, planned + ROOM))
            time.sleep(2.0)
            feeder.stop()
            database.wait_until_healthy()
            _wait_until_drained(kafka, database)
        finally:
            crew.dismiss()
            if other:
                other.stop()
            snapshots.stop()
            changes.stop()
            proxies.stop()
            for journal in journals.values():
                journal.close()
            shutil.copy(kafka.log, folder / "broker.log")
        side_database = side.DATABASE if other else None
        where = Where(kafka.bootstrap_servers, database.url, TOPIC, DATABASE, side_database)
        kinds = [fault.kind for fault in plan]
        stock = dict.fromkeys(accounts(), STOCK)
        return gather(where, folder, options.mode, kinds, stock, [canary])


def _wait_until_claimed(changes: Changes) -> None:
    if not changes.wait(lambda: len(changes.epochs) == PARTITIONS, CLAIMED):
        raise TimeoutError(f"after {CLAIMED:g} s only {dict(changes.epochs)} are claimed")


def _wait_until_drained(kafka: KafkaBroker, database: Tried) -> None:
    """Wait until the positions stand behind all that is visible; the checker judges if not."""
    visible = read_topic(kafka.bootstrap_servers, TOPIC)
    ends = {place: messages[-1].offset + 1 for place, messages in visible.items() if messages}
    until = time.monotonic() + DRAIN
    while time.monotonic() < until:
        positions = read_database(database.url, DATABASE)["positions"]
        if all(positions.get(place, 0) >= end for place, end in ends.items()):
            return
        time.sleep(1.0)


def new_folder() -> Path:
    """Return a fresh place below the temporary folder."""
    return Path(tempfile.gettempdir()) / f"chaos-{uuid.uuid4().hex[:8]}"
