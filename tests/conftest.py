"""How the tests run: how many files at a time, on which broker, and with compiled code."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from eoconsumer.errors import ConfigurationError
from eoconsumer.servers import KafkaBroker

# Tests start hundreds of processes: where Python is told to keep no compiled code, each of them
# would compile the library anew, and each worker of pytest all tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

#: Most tests wait for a server most of the time; those of one file share its fixtures.
AT_ONCE = 4
READY_SECONDS = 120.0  # the machine may be busy


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Run one file by itself at once, in this process, where a debugger works too."""
    files = [config.invocation_params.dir / each.partition("::")[0] for each in config.args]
    return 0 if len(set(files)) == 1 and files[0].is_file() else AT_ONCE


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker, before it starts, of the broker that all of them share."""
    if (broker := _shared_broker(node.config)) is not None:
        node.workerinput |= {"broker": broker.port, "broker_log": str(broker.log)}


@cache
def _shared_broker(config: pytest.Config) -> KafkaBroker | None:
    broker = KafkaBroker()
    config.add_cleanup(broker.stop)
    try:
        broker.launch()  # it gets ready while the workers collect their tests
    except ConfigurationError:
        return None  # those tests that need one are told why
    return broker


@pytest.fixture(scope="session")
def kafka_broker(request: pytest.FixtureRequest) -> Iterator[KafkaBroker]:
    """A broker for all tests, of all workers; who kills or pauses it takes one of its own."""
    told = getattr(request.config, "workerinput", {})
    if "broker" not in told:
        with KafkaBroker() as broker:
            yield broker
        return
    shared, deadline = KafkaBroker(port=told["broker"]), time.monotonic() + READY_SECONDS
    while not shared.is_ready():
        assert time.monotonic() < deadline, Path(told["broker_log"]).read_text()[-2_000:]
        time.sleep(0.1)
    yield shared
