"""The example compares the modes on real servers, and its table says what happened."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mode_comparison.variants import VARIANTS

from eoconsumer.servers import KafkaBroker, MongoReplicaSet

EXAMPLES = Path(__file__).parents[2] / "examples"
COUNT = 400


@pytest.mark.slow
@pytest.mark.requirement("S3-26")
def test_killed_workers_lose_and_double_what_their_mode_allows_and_nothing_else(
    kafka_broker: KafkaBroker, mongo_replica_set: MongoReplicaSet
) -> None:
    where = ("-b", kafka_broker.bootstrap_servers, "--store", mongo_replica_set.url_for("compared"))
    done = subprocess.run(
        [sys.executable, "-m", "mode_comparison", "compare", *where, "-n", str(COUNT)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == [str(COUNT), "documents", "produced"]
    assert lines[2] == ["applied", "lost", "torn", "duplicated", "kills"]
    table = {name: [int(number) for number in numbers] for name, *numbers in lines[3:-2]}
    assert list(table) == list(VARIANTS)
    for applied, lost, torn, _, kills in table.values():
        assert applied + lost == COUNT
        assert torn <= lost
        assert kills > 0
    assert table["at-most-once"][1] > 0
    assert table["at-most-once"][3] == 0
    assert table["at-least-once"][1] == 0
    assert table["at-least-once"][3] > 0
    for form in ("handle", "batch", "writes"):
        assert table[f"exactly-once-{form}"] == [COUNT, 0, 0, 0, 2]
    assert lines[-1] == ["every", "mode", "kept", "its", "promise"]
