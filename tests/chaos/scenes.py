"""Directed scenes: the fault that matters, at its moment. Each is green with the library."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from eoconsumer.servers import KafkaBroker, MongoReplicaSet
from tests.chaos.checker.evidence import Evidence
from tests.chaos.mutants import MUTANTS
from tests.chaos.stage import BATCH, DEADLINE, Stage

APPLIED_UNHEARD = {"writeConcernError": {"code": 64, "errmsg": "no majority in time"}}
IN_VAIN = 8.0  # seconds; a mutant may never come to the end
NOT_DONE = {"errorCode": 50}  # out of time; labelled as unknown, and the transaction stays open
CONFLICT = {"errorCode": 112, "errorLabels": ["TransientTransactionError"]}


def killed_when_committed(stage: Stage) -> None:
    """A worker is killed at its first commit; the next one goes on."""
    killed_at(stage, "committed")


def killed_at(stage: Stage, point: str) -> None:
    """A worker is killed at ``point`` of its first batch; the next one goes on."""
    stage.feed(2 * BATCH)
    first = stage.worker(point=point, do="kill")
    stage.wait(lambda: first.heard("point") and not first.alive)
    stage.worker()
    stage.drain()


def two_owners(stage: Stage) -> None:
    """A worker is stopped in its handler until another is in the same batch; then both go on."""
    stage.feed(2 * BATCH)
    zombie = stage.worker(point="handling", do="stop")
    stage.wait(lambda: zombie.heard("point"))
    owner = stage.worker(point="handling", do="stop")
    stage.wait(lambda: owner.heard("point"))
    # Seen here, the claim is seen by every transaction that begins from now on, too.
    stage.wait(lambda: 2 in stage.changes.epochs.values())
    woken = zombie.signal(signal.SIGCONT)
    answers = ("fenced", "store retry", "restarted", "failed")
    stage.wait(
        lambda: any(stage.positions().values()) or any(zombie.heard(a, woken) for a in answers)
    )
    owner.signal(signal.SIGCONT)
    stage.drain()


def unknown_commit(stage: Stage) -> None:
    """A commit happens, and the answer says that nobody knows."""
    stage.feed(2 * BATCH)
    # More often than the driver itself tries again.
    with stage.failing("commitTransaction", {"times": 3}, **APPLIED_UNHEARD):
        stage.worker()
        stage.drain()


def late_commit(stage: Stage) -> None:
    """A commit lands when its sender has given it up, and has seen that it did not happen."""
    stage.feed(2 * BATCH)
    with stage.failing("commitTransaction", "alwaysOn", **NOT_DONE):
        sender = stage.worker(point="asked", do="stop", commit_timeout=0.2)
        stage.wait(lambda: sender.heard("point"))
    stage.commit_in_the_name_of(sender)
    stage.wait(lambda: stage.positions() == {0: BATCH})
    sender.signal(signal.SIGCONT)
    stage.drain()


def revoked_in_trouble(stage: Stage) -> None:
    """A partition goes to another worker while its batch is tried again and again."""
    stage.feed(BATCH)
    with stage.failing("findAndModify", "alwaysOn", **CONFLICT):
        first = stage.worker()
        stage.wait(lambda: first.heard("store retry"))
        second = stage.worker()
        stage.wait(lambda: second.heard("claimed"))
        stage.wait(lambda: BATCH in stage.positions().values())
        tried = time.monotonic()
        stage.wait(lambda: first.heard("store retry", tried))
    stage.drain()


def restart(stage: Stage) -> None:
    """A worker ends well, and a new one goes on with what came meanwhile."""
    stage.feed(BATCH)
    first = stage.worker()
    stage.drain()
    first.signal(signal.SIGTERM)
    stage.wait(lambda: not first.alive and stage.changes.moved)
    second = stage.worker()
    stage.wait(lambda: second.heard("claimed"))
    stage.recovers("terminate", time.monotonic())
    stage.feed(BATCH)
    stage.drain()


def topic_recreated(stage: Stage) -> None:
    """A topic is deleted and created again, with more messages than were handled of the first.

    A worker that notices ends; then somebody resets the position, and the next one begins anew.
    """
    stage.feed(BATCH)
    first = stage.worker()
    stage.drain()
    first.signal(signal.SIGTERM)
    stage.wait(lambda: not first.alive)
    stage.recreate_topic()
    stage.feed(2 * BATCH)
    second = stage.worker()
    stage.wait(lambda: second.heard("failed") or stage.positions() == {0: 2 * BATCH})
    if any(line["kind"] == "TopicRecreated" for line in second.heard("failed")):
        stage.forget_positions()
        stage.worker()
        stage.drain()


SCENES: Mapping[str, Callable[[Stage], None]] = {
    scene.__name__: scene
    for scene in (
        killed_when_committed,
        two_owners,
        unknown_commit,
        late_commit,
        revoked_in_trouble,
        restart,
        topic_recreated,
    )
}

#: Where a kill shows what each mode admits.
MODES = {"at_least_once": "advancing", "at_most_once": "advanced"}


def play(
    kafka: KafkaBroker, mongo: MongoReplicaSet, folder: Path, scene: str, mutant: str | None = None
) -> Evidence:
    """Play a scene, with the library or with a mutant of it."""
    patience = IN_VAIN if mutant in MUTANTS else DEADLINE
    stage = Stage(kafka, mongo, folder, folder.name, mutant=mutant, patience=patience)
    with stage.set_up(partitions=2 if scene == "revoked_in_trouble" else 1):
        SCENES[scene](stage)
    return stage.evidence()


def play_mode(kafka: KafkaBroker, mongo: MongoReplicaSet, folder: Path, mode: str) -> Evidence:
    """Kill a worker where ``mode`` shows what it admits."""
    stage = Stage(kafka, mongo, folder, folder.name, mode=mode)
    with stage.set_up(partitions=1):
        killed_at(stage, MODES[mode])
    return stage.evidence()
