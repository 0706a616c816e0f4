"""Carries out a plan: each fault at its time, as soon as its lanes are free."""

from __future__ import annotations

import threading
import time
import traceback

from tests.chaos.journal import Journal
from tests.chaos.nemesis import kafka, mongo, network, side, sql, workers
from tests.chaos.nemesis.field import Bring, Field, Outcome
from tests.chaos.plan import KINDS, LANES, Fault

BRING: dict[str, Bring] = {
    **workers.KINDS,
    **mongo.KINDS,
    **sql.KINDS,
    **network.KINDS,
    **kafka.KINDS,
    **side.KINDS,
}

STALLED = 150.0  # seconds


class Nemesis:
    """Brings the faults of a plan about, and writes down each with its outcome."""

    def __init__(self, field: Field, plan: list[Fault], journal: Journal) -> None:
        self._field = field
        self._plan = plan
        self._journal = journal
        self._lanes = {lane: threading.Lock() for lane in LANES}

    def run(self, latest: float) -> None:
        """Bring all about; left out is what could not begin before ``latest`` (s).

        And what comes after nothing has moved for long: that run is red, and need not go on.
        """
        begin = time.monotonic()
        threads: list[threading.Thread] = []
        for fault in self._plan:
            time.sleep(max(0.0, begin + fault.at - time.monotonic()))
            lanes = [self._lanes[lane] for lane in KINDS[fault.kind].lanes]
            for lane in lanes:
                lane.acquire()
            now = time.monotonic()
            if now - begin > latest or now - self._field.last_move() > STALLED:
                self._journal.write("left out", fault=fault.as_line())
                for lane in lanes:
                    lane.release()
                continue
            thread = threading.Thread(target=self._bring, args=(fault, lanes), name=fault.kind)
            thread.start()
            threads.append(thread)
        for thread in threads:
            thread.join()

    def _bring(self, fault: Fault, lanes: list[threading.Lock]) -> None:
        begun = self._journal.write("begin", fault=fault.as_line())
        try:
            outcome = BRING[fault.kind](self._field, fault)
        except Exception:  # a fault that failed: the report says so
            outcome = Outcome(False, note=traceback.format_exc(limit=-3))
        finally:
            for lane in lanes:
                lane.release()
        self._journal.write(
            "end",
            number=fault.number,
            kind=fault.kind,
            begun=begun,
            took=outcome.took,
            since=outcome.since,
            places=outcome.places,
            note=outcome.note,
        )
