"""Faults of the replica set."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError, WriteConcernError, WTimeoutError
from pymongo.write_concern import WriteConcern

from tests.chaos.nemesis.field import APP_NAME, Field, Outcome, eventually
from tests.chaos.plan import Fault

TRANSIENT = ["TransientTransactionError"]
#: More often than the driver itself tries again.
TIMES = 3
HELD = 3.0  # seconds, at most
UNKNOWN: dict[str, dict[str, Any]] = {
    "applied": {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}},
    "cut": {"closeConnection": True},
    "time limit": {"errorCode": 50},
}


def primary_kill(field: Field, fault: Fault) -> Outcome:
    """``kill -9`` of the primary; it comes back as a secondary."""
    del fault
    before = field.term()
    node = field.mongo.wait_for_primary()
    node.kill()
    since = time.monotonic()
    elected = field.term() > before
    field.moved(None, since, 20)
    node.start()
    field.mongo.wait_until_healthy()
    return Outcome(elected, since)


def primary_pause(field: Field, fault: Fault) -> Outcome:
    """SIGSTOP of the primary: its connections stay open and hang."""
    del fault
    before = field.term()
    node = field.mongo.wait_for_primary()
    node.pause()
    since = time.monotonic()
    try:
        elected = eventually(lambda: field.term() > before, 20)
        field.moved(None, since, 25)
    finally:
        node.resume()
    field.mongo.wait_until_healthy()
    return Outcome(elected, since)


def step_down(field: Field, fault: Fault) -> Outcome:
    """The primary steps down."""
    del fault
    before = field.term()
    with field.mongo.wait_for_primary().connect() as client:
        try:
            client.admin.command({"replSetStepDown": 5, "secondaryCatchUpPeriodSecs": 3})
        except PyMongoError as error:
            note = type(error).__name__
        else:
            note = ""
    since = time.monotonic()
    elected = field.term() > before
    field.moved(None, since, 20)
    return Outcome(elected, since, None, note)


def no_majority(field: Field, fault: Fault) -> Outcome:
    """Both secondaries stop to replicate: the primary takes writes that nobody else has."""
    del fault
    with ExitStack() as stack:
        for node in field.mongo.secondaries():
            stack.enter_context(field.fail_point(node, "stopReplProducer", "alwaysOn"))
        took = not _majority_writes(field)
        time.sleep(2.0)
    since = time.monotonic()
    field.moved(None, since, 20)
    return Outcome(took, since)


def transient_error(field: Field, fault: Fault) -> Outcome:
    """The next such commands are answered with a transient transaction error."""
    command = fault.parameters["command"]
    code = 251 if command == "commitTransaction" else 112
    how = {"errorCode": code, "errorLabels": TRANSIENT}
    return _fail_command(field, command, TIMES, how)


def unknown_commit(field: Field, fault: Fault) -> Outcome:
    """The next commits are answered so that nobody knows what became of them."""
    return _fail_command(field, "commitTransaction", TIMES, UNKNOWN[fault.parameters["how"]])


def write_conflict(field: Field, fault: Fault) -> Outcome:
    """Another transaction holds the stock of a partition until a worker has met it."""
    owned = list(field.owned(field.crew[fault.target])) or [(field.topic, 0)]
    names = {"$regex": f"^account-{owned[0][1]}-"}
    met = eventually(lambda: _hold(field, {"_id": names}), 15)
    since = time.monotonic()
    field.moved(owned, since, 10)
    return Outcome(met, since, owned)


def _hold(field: Field, which: dict[str, Any]) -> bool:
    """Keep workers off documents until one has met a conflict; False if they kept us off."""
    with MongoClient[dict[str, Any]](field.mongo.url) as client, client.start_session() as session:
        try:
            with session.start_transaction(write_concern=WriteConcern("majority")):
                client[field.database]["stock"].update_many(
                    which, {"$inc": {"touched": 1}}, session=session
                )
                since = time.monotonic()
                return eventually(lambda: _conflicts(field, since), HELD)
        except PyMongoError:
            return False


def _conflicts(field: Field, since: float) -> bool:
    """Whether a worker has met a conflict."""
    return any(
        "WriteConflict" in line["error"]
        for slot in range(len(field.crew.members))
        for line in field.crew[slot].heard("store retry", since)
    )


def _fail_command(field: Field, command: str, times: int, how: dict[str, Any]) -> Outcome:
    since = time.monotonic()
    data = {"failCommands": [command], "appName": APP_NAME, **how}
    node = field.mongo.wait_for_primary()
    with field.fail_point(node, "failCommand", {"times": times}, data) as hits:
        met = eventually(lambda: hits() >= times, 30)
    field.moved(None, since, 10)
    return Outcome(met, since, None, command)


def _majority_writes(field: Field) -> bool:
    """Whether a write reaches the majority within a second and a half."""
    with MongoClient[dict[str, Any]](field.mongo.url) as client:
        collection = client[field.database].get_collection(
            "nemesis", write_concern=WriteConcern("majority", wtimeout=1500)
        )
        try:
            collection.insert_one({})
        except (WTimeoutError, WriteConcernError):
            return False
    return True


KINDS = {
    "primary kill": primary_kill,
    "primary pause": primary_pause,
    "step-down": step_down,
    "no majority": no_majority,
    "transient error": transient_error,
    "unknown commit": unknown_commit,
    "write conflict": write_conflict,
}
