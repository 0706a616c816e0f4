"""On what a report was made: without it, its figures say nothing."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil
from confluent_kafka import libversion

from eoconsumer.servers.jars import KAFKA_VERSION


def machine(mongod: str) -> Mapping[str, str]:
    """Return what a reader has to know; ``mongod`` is the version of the server."""
    packages = ("eoconsumer", "pymongo", "confluent-kafka", "orjson")
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "Python": platform.python_version(),
        **{name: version(name) for name in packages},
        "librdkafka": libversion()[0],
        "Kafka": f"{KAFKA_VERSION}, one broker",
        "MongoDB": f"{mongod}, a replica set of three, all on this machine",
        "load before": load(os.getloadavg()[0], os.cpu_count() or 1),
    }


def load(before: float, cores: int) -> str:
    """Return how busy the machine was before, and what that means for the figures."""
    if before <= cores / 4:
        return f"{before:.2f}"
    return f"{before:.2f}: others were at work, so rates are too low, and ratios uncertain"


def _processor() -> str:
    """Return the name of the processor, as far as the system tells it."""
    told = Path("/proc/cpuinfo")
    if told.exists():
        for line in told.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
