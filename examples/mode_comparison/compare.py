"""Every variant on the same documents, its worker killed in the same places, and counted."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from pymongo.uri_parser import parse_uri
from stock_ledger.books_mongo import connect
from stock_ledger.check import Report, check

from .consumers import LedgerOnly
from .variants import VARIANTS

#: A killed member holds its partitions no longer than it takes to start the next process.
SESSION = ("--kafka", "session.timeout.ms=1500", "--kafka", "heartbeat.interval.ms=300")
#: Kafka's own default is 5,000 ms: the same fault, but seen once in a long while.
AUTO_COMMIT = ("--kafka", "auto.commit.interval.ms=5")


class Outcome(NamedTuple):
    """What one variant did with what was produced, in documents; `torn` are among the lost."""

    variant: str
    produced: int
    applied: int
    lost: int
    torn: int
    duplicated: int
    kills: int

    @property
    def kept(self) -> bool:
        """Whether the variant kept what its mode promises."""
        variant = VARIANTS[self.variant]
        return (variant.may_lose or not self.lost) and (variant.may_double or not self.duplicated)

    def __str__(self) -> str:
        """Return a line of the table."""
        counts = (self.applied, self.lost, self.torn, self.duplicated, self.kills)
        return f"{self.variant:20}" + "".join(f"{count:>11}" for count in counts)


HEAD = f"{'':20}" + "".join(f"{name:>11}" for name in Outcome._fields[2:])


def compare(bootstrap: str, store: str, topic: str, crashes: Sequence[str]) -> Iterator[Outcome]:
    """Yield what becomes of `topic` in each variant; `crashes` are places as the worker knows them.

    All at once: each variant has a group and a database of its own, which stays until the next
    call. Raises `RuntimeError` where a worker ends otherwise than by a kill or at the end.
    """

    def one(name: str) -> Outcome:
        return _try(name, bootstrap, store, topic, crashes)

    with ThreadPoolExecutor(len(VARIANTS)) as threads:
        yield from threads.map(one, VARIANTS)


def _try(name: str, bootstrap: str, store: str, topic: str, crashes: Sequence[str]) -> Outcome:
    url = beside(store, name)
    where = ("-b", bootstrap, "--store", url, "--topic", topic, "--group", f"{topic}-{name}")
    places = [word for place in crashes for word in ("--crash-at", place)]
    options = SESSION if VARIANTS[name].consumer else (*SESSION, *AUTO_COMMIT)
    database = connect(url)
    database.client.drop_database(database)
    with database.client, tempfile.TemporaryDirectory() as marks:
        kills = 0
        command = ("run", name, *where, "--until-end", *options, *places)
        while _was_killed(*command, "--crash-marks", marks):
            kills += 1
        return _outcome(name, check(LedgerOnly(database), bootstrap, topic, ""), kills)


def _outcome(name: str, found: Report, kills: int) -> Outcome:
    lost = found.produced - found.applied
    return Outcome(name, found.produced, found.applied, lost, found.torn, found.duplicated, kills)


def beside(store: str, name: str) -> str:
    """Return the URL of a database of the variant's own, beside that of `store`."""
    database = parse_uri(store)["database"]
    before, found, behind = store.rpartition(f"/{database}")
    return f"{before}{found}_{name.replace('-', '_')}{behind}"


def _was_killed(*arguments: str) -> bool:
    """Run a worker to its end; return whether that was the kill."""
    ran = subprocess.run(
        [sys.executable, "-m", "mode_comparison", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    if ran.returncode not in (0, -9):
        raise RuntimeError(f"A worker ended with {ran.returncode}: {ran.stderr}")
    return ran.returncode == -9
