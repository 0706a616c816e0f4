"""A broker of its own for a file of tests that kill it, pause it, or measure its CPU time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eoconsumer.servers import KafkaBroker


@pytest.fixture(scope="module")
def kafka_broker() -> Iterator[KafkaBroker]:
    """Not the one that all tests share."""
    with KafkaBroker() as broker:
        yield broker
