"""Short chaos runs on SQL databases; the long ones are started by hand."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from eoconsumer.servers.sql import ServerMissing, find_postgres
from tests.chaos.checker import Verdict, judge
from tests.chaos.plan import KINDS, PROTOCOLS, STORES, kinds_of, make_plan
from tests.chaos.report import report
from tests.chaos.run import Options, commit, run

SEED = 7
#: What each has to stand in the short time that the suite has for it: minutes, and kinds.
SHORT = {
    "postgresql": (0.15, ["lost commit reply", "zombie", "server restart"]),
    "sqlite": (0.11, ["kill after the offset write", "kill after the commit", "poison"]),
}
#: As in ``test_run.py``: a fault that chance kept from its effect may have one more run.
RUNS = 2
RATE = 30.0  # messages a second; other tests want the processor, too


@pytest.mark.slow
@pytest.mark.requirement("N1", "N3", "N17")
def test_faults_of_sql_runs_lose_double_and_reorder_nothing(tmp_path: Path) -> None:
    try:
        find_postgres()
    except ServerMissing as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))
    with ThreadPoolExecutor() as pool:  # most of the time of a run goes into waiting
        verdicts = list(pool.map(lambda store: _judged(store, tmp_path / store), SHORT))
    for verdict in verdicts:
        assert (verdict.red, verdict.invalid) == ([], [])


def _judged(store: str, folder: Path) -> Verdict:
    """Run once; if no check is red and the run is invalid, once more."""
    minutes, kinds = SHORT[store]
    for seed in range(SEED, SEED + RUNS):
        plan = make_plan(seed, minutes, kinds, store=store)
        assert {fault.kind for fault in plan} == set(kinds)
        options = Options(seed, minutes, folder / str(seed), store=store, rate=RATE)
        evidence = run(options, plan)
        verdict = judge(evidence)
        print(report(options, commit(), evidence, verdict))  # noqa: T201 - shown if it failed
        if verdict.word != "INVALID":
            break
    return verdict


@pytest.mark.parametrize("store", STORES[1:])
def test_a_plan_for_sql_has_every_kind_that_the_store_can_stand(store: str) -> None:
    plan = make_plan(SEED, 3, store=store)
    assert {fault.kind for fault in plan} == set(kinds_of(store))
    assert plan == make_plan(SEED, 3, store=store)
    seen = {fault.parameters["protocol"] for fault in plan if fault.kind == "churn"}
    assert seen == set(PROTOCOLS)
    wanted = {"kill", "kill in the handler", "kill after the offset write", "zombie", "churn"}
    wanted |= {"kill after the commit", "broker kill", "broker pause", "poison", "tombstones"}
    assert wanted | {"aborted transactions"} <= set(kinds_of(store))
    servers = {"server restart", "lost commit reply", "connection reset"}
    servers |= {"kill before the commit's reply"}
    assert servers & set(kinds_of(store)) == (set() if store == "sqlite" else servers)


def test_a_zombie_of_sqlite_is_stopped_outside_of_its_transaction() -> None:
    for seed in range(20):
        plan = make_plan(seed, 3, store="sqlite")
        points = {fault.parameters["point"] for fault in plan if fault.kind == "zombie"}
        assert points == {"committed"}


def test_every_kind_belongs_to_a_store() -> None:
    assert {kind for store in STORES for kind in kinds_of(store)} == set(KINDS)
