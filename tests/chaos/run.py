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
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.write_concern import WriteConcern

from eoconsumer.servers import KafkaBroker, MongoReplicaSet
from tests.chaos import side
from tests.chaos.checker.evidence import Evidence
from tests.chaos.checker.gather import Where, gather
from tests.chaos.checker.servers import read_database, read_topic
from tests.chaos.crew import ROOT, Crew, Member
from tests.chaos.feeder import STOCK, Feeder, accounts
from tests.chaos.journal import Journal
from tests.chaos.nemesis import Field, Nemesis
from tests.chaos.nemesis.field import APP_NAME, SESSION_TIMEOUT
from tests.chaos.nemesis.workers import settings_for
from tests.chaos.observer import EFFECTS, LETTERS, OFFSETS, Changes, Snapshots
from tests.chaos.plan import PROTOCOLS, Fault, first_protocol
from tests.chaos.proxy import Proxies

TOPIC, GROUP, DATABASE = "transfers", "chaos", "chaos"
PARTITIONS = 6
DRAIN = 90.0  # seconds for what is left when the faults are over
#: A run on a busy machine may take this much longer than planned.
SLACK = 1.3

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
        mongo = stack.enter_context(MongoReplicaSet(3, test_commands=True))
        journals = {
            name: Journal(folder / f"{name}.jsonl")
            for name in ("feed", "side", "snapshots", "changes", "faults", "crew")
        }
        kafka.create_topic(TOPIC, PARTITIONS)
        _prepare(mongo, canary)
        proxies = Proxies(options.workers, [node.port for node in mongo.nodes])
        proxies.start()
        feeder = Feeder(
            kafka.bootstrap_servers, TOPIC, PARTITIONS, options.rate, options.seed, journals["feed"]
        )
        changes = Changes(mongo.url, DATABASE, journals["changes"])
        snapshots = Snapshots(mongo.url, DATABASE, journals["snapshots"])

        def told(slot: int) -> dict[str, Any]:
            return {
                "bootstrap": kafka.bootstrap_servers,
                "store": _secret_url(mongo, canary),
                "proxies": proxies.ports(slot),
                "form": "each" if slot == 0 else "runs",
                "mutant": options.mutant,
                "settings": {
                    "topics": TOPIC,
                    "group": GROUP,
                    "mode": options.mode,
                    "on_poison": "bury",
                    "batch_size": 200,
                    "readers": 2 if slot == 2 else 1,
                    "retry": {"attempts": 2, "minimum": 0.05},
                    "kafka": {"sasl.username": "chaos", "sasl.password": canary},
                },
            }

        def launch_side() -> Member:
            kafka_settings = settings_for(PROTOCOLS[0])
            of_side = {
                "store": _secret_url(mongo, canary, side.DATABASE),
                "proxies": {},
                "settings": {**side.SETTINGS, "kafka": kafka_settings},
            }
            return Member(options.workers, folder, told(0) | of_side)

        crew = Crew(options.workers, folder, journals["crew"], told)
        crew.settings = dict(settings_for(first_protocol(plan)))
        other = side.Side(kafka, mongo.url, journals["side"], launch_side)
        field = Field(kafka, mongo, crew, proxies, feeder, other, changes, TOPIC, DATABASE)
        changes.start()
        snapshots.start()
        try:
            crew.start()
            other.start()
            feeder.start()
            _wait_until_claimed(changes)
            Nemesis(field, plan, journals["faults"]).run(options.minutes * 60 * SLACK)
            time.sleep(2.0)
            feeder.stop()
            mongo.wait_until_healthy()
            _wait_until_drained(kafka, mongo)
        finally:
            crew.dismiss()
            other.stop()
            snapshots.stop()
            changes.stop()
            proxies.stop()
            for journal in journals.values():
                journal.close()
            shutil.copy(kafka.log, folder / "broker.log")
        where = Where(kafka.bootstrap_servers, mongo.url, TOPIC, DATABASE, side.DATABASE)
        kinds = [fault.kind for fault in plan]
        stock = dict.fromkeys(accounts(), STOCK)
        return gather(where, folder, options.mode, kinds, stock, [canary])


def _prepare(mongo: MongoReplicaSet, canary: str) -> None:
    """Make the collections, the stock, and a user whose password is the canary."""
    with MongoClient[dict[str, Any]](mongo.url) as client:
        client[DATABASE].create_collection(OFFSETS)
        stock = client[DATABASE].get_collection("stock", write_concern=WriteConcern("majority"))
        stock.insert_many([{"_id": name, "stock": STOCK} for name in accounts()])
        for name in (EFFECTS, LETTERS):  # not unique: a double is to be seen, not refused
            client[DATABASE][name].create_index([("topic", 1), ("partition", 1), ("offset", 1)])
        client[DATABASE].create_collection("counters")
        client.admin.command("createUser", "chaos", pwd=canary, roles=["root"])


def _secret_url(mongo: MongoReplicaSet, canary: str, database: str = DATABASE) -> str:
    plain = mongo.url_for(database).removeprefix("mongodb://")
    return f"mongodb://chaos:{canary}@{plain}&authSource=admin&appName={APP_NAME}"


def _wait_until_claimed(changes: Changes) -> None:
    if not changes.wait(lambda: len(changes.epochs) == PARTITIONS, 60):
        raise TimeoutError(f"after 60 s only {dict(changes.epochs)} are claimed")


def _wait_until_drained(kafka: KafkaBroker, mongo: MongoReplicaSet) -> None:
    """Wait until the positions stand behind all that is visible; the checker judges if not."""
    visible = read_topic(kafka.bootstrap_servers, TOPIC)
    ends = {place: messages[-1].offset + 1 for place, messages in visible.items() if messages}
    until = time.monotonic() + DRAIN
    while time.monotonic() < until:
        positions = read_database(mongo.url, DATABASE)["positions"]
        if all(positions.get(place, 0) >= end for place, end in ends.items()):
            return
        time.sleep(1.0)


def new_folder() -> Path:
    """Return a fresh place below the temporary folder."""
    return Path(tempfile.gettempdir()) / f"chaos-{uuid.uuid4().hex[:8]}"
