"""The demo for real, with few documents: what its table says is what happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from trial import eventually

DEMO = [sys.executable, "-c", "from eoconsumer.cli import main; main()", "demo"]
TIMEOUT = 300.0  # seconds; the machine may be busy
COUNT = 1_000


@pytest.mark.slow
@pytest.mark.requirement("S3-01", "S3-26")
@pytest.mark.parametrize("store", ["mongodb", "sqlite"])
def test_only_exactly_once_loses_nothing_and_duplicates_nothing(tmp_path: Path, store: str) -> None:
    figures = tmp_path / "figures.json"
    done = subprocess.run(
        [*DEMO, "--store", store, "--documents", str(COUNT), "--seed", "3", "--json", str(figures)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\x1b" not in done.stdout
    modes = {mode["mode"]: mode for mode in json.loads(figures.read_text())["modes"]}
    assert list(modes) == ["auto_commit", "at_most_once", "at_least_once", "exactly_once"]
    for mode in modes.values():
        assert mode["produced"] == COUNT
        assert mode["applied"] + mode["lost"] == COUNT
        assert mode["kills"] > 0
        assert mode["messages_per_second"] > 0
        assert 0 < mode["p50_ms"] <= mode["p99_ms"]
    assert modes["auto_commit"]["lost"] > 0
    assert modes["at_most_once"]["lost"] > 0
    assert modes["at_most_once"]["duplicated"] == 0
    assert modes["at_least_once"]["lost"] == 0
    assert modes["at_least_once"]["duplicated"] > 0
    assert modes["exactly_once"]["lost"] == modes["exactly_once"]["duplicated"] == 0
    right = {name: mode["stock_correct"] for name, mode in modes.items()}
    assert right == dict.fromkeys(modes, False) | {"exactly_once": True}
    for mode in modes.values():
        row = next(
            x for x in done.stdout.splitlines() if x.startswith(mode["mode"].replace("_", "-"))
        )
        assert row.split()[1:5] == [
            f"{mode[name]:,}" for name in ("produced", "applied", "lost", "duplicated")
        ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("store", "number"), [("mongodb", signal.SIGINT), ("sqlite", signal.SIGTERM)]
)
def test_an_interrupted_demo_leaves_no_process_and_no_file(
    tmp_path: Path, store: str, number: signal.Signals
) -> None:
    marked = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [*DEMO, "--store", store, "--documents", str(COUNT)],
        env=marked,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        # The first kill: the servers and the workers of all modes are there.
        assert any("killed with SIGKILL" in line for line in demo.stdout)
        demo.send_signal(number)
        complaint = demo.communicate(timeout=TIMEOUT)[1]
    assert demo.returncode == 130
    assert complaint == "eoconsumer: interrupted; nothing was left running\n"
    assert list(tmp_path.iterdir()) == []
    eventually(lambda: not started_with(f"TMPDIR={tmp_path}"))


def started_with(setting: str) -> list[str]:
    """Return the processes that have ``setting`` in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if setting.encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append(process.name)
        except OSError:
            continue
    return found
