"""A signal may come in the middle of anything that the main thread does."""

from __future__ import annotations

import io
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from eoconsumer.consumer.signals import signals_stop


class Interrupted(io.RawIOBase):
    """A file at whose every write a signal comes."""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        signal.raise_signal(signal.SIGINT)
        return len(data)  # type: ignore[arg-type]


@contextmanager
def logged_to(stream: io.TextIOBase) -> Iterator[logging.Logger]:
    log = logging.getLogger("eoconsumer.consumer")
    level, handler = log.level, logging.StreamHandler(stream)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield log
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def test_a_signal_that_comes_while_a_line_is_logged_stops_and_raises_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.TextIOWrapper(io.BufferedWriter(Interrupted()), line_buffering=True)
    monkeypatch.setattr(sys, "stderr", stream)  # where logging would complain
    stops: list[None] = []
    with logged_to(stream) as log, signals_stop(lambda: stops.append(None)):
        log.info("claimed")
        stream.flush()
    assert stops
