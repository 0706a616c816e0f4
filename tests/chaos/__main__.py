"""The chaos run: ``python -m tests.chaos --minutes 3 --seed 7 --report chaos.md``.

Starts a broker, three mongod (or, with ``--store``, PostgreSQL or MariaDB; SQLite is a file),
three workers, a feeder, observers and a nemesis; brings about the
faults of the plan; then an independent checker judges. Without ``--seed`` chance takes one, and
prints it: the same seed gives the same plan again.

Ends with 0 if the run is green; 1 if a check is red; 3 if the run is invalid: a kind of fault never
took effect, or a control mode did not show what it admits.

``--mode at_least_once`` must show doubles, ``--mode at_most_once`` losses.

``--mutant NAME`` calls the function ``NAME`` of ``tests/chaos/mutants.py``, without arguments, in
each worker before it starts; it patches the library. A mutant is killed if the check that is named
for it is red: "effects", "skipped", "order", "stock", "snapshot", "protocol", "concerns",
"recovery", "canary" (see ``tests/chaos/checker/__init__.py``). ``--expect CHECK`` turns the exit
code round: 0 if that check is red, 1 if it is not.
``--kinds "zombie,kill"`` leaves only these kinds of fault in the plan, and repeats them.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from tests.chaos.checker import CHECKS, Verdict, judge
from tests.chaos.plan import STORES, kinds_of, make_plan
from tests.chaos.report import report
from tests.chaos.run import Options, commit, new_folder, run

MODES = ("exactly_once", "at_least_once", "at_most_once")


def main() -> int:
    """Run as told; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--store", choices=STORES, default=STORES[0])
    parser.add_argument("--mode", choices=MODES, default=MODES[0])
    parser.add_argument("--mutant", metavar="NAME")
    parser.add_argument("--expect", metavar="CHECK", choices=list(CHECKS))
    parser.add_argument("--kinds", metavar="KIND,KIND")
    parser.add_argument("--report", type=Path, metavar="FILE")
    parser.add_argument("--folder", type=Path, help="where the journals go")
    told = parser.parse_args()
    seed = random.SystemRandom().randrange(1_000_000) if told.seed is None else told.seed
    kinds = [kind.strip() for kind in (told.kinds or "").split(",") if kind.strip()]
    known = kinds_of(told.store)
    if unknown := set(kinds) - known.keys():
        parser.error(f"{told.store} has no kinds {sorted(unknown)}; there are {list(known)}")
    if told.mutant and told.store != STORES[0]:
        parser.error(f"the mutants harm the store of {STORES[0]}; leave --store or --mutant out")
    folder = told.folder or new_folder()
    options = Options(
        seed, told.minutes, folder, mode=told.mode, store=told.store, mutant=told.mutant
    )

    plan = make_plan(seed, told.minutes, kinds, store=told.store)
    print(f"store={told.store} seed={seed} commit={commit()} plan=")
    for fault in plan:
        details = " ".join(f"{name}={value}" for name, value in fault.parameters.items())
        print(f"  {fault.at:7.1f} s  {fault.kind} -> {fault.target} {details}")
    print(f"journals: {folder}", flush=True)
    evidence = run(options, plan)
    verdict = judge(evidence)
    text = report(options, commit(), evidence, verdict)
    if told.report:
        told.report.write_text(text)
    print(text, flush=True)
    return exit_code(verdict, told.expect)


def exit_code(verdict: Verdict, expected: str | None) -> int:
    """Return 0 for green, 1 for red, 3 for invalid; of a mutant 0 if it was killed."""
    if expected is not None:
        return int(expected not in verdict.red)
    return {"GREEN": 0, "RED": 1, "INVALID": 3}[verdict.word]


if __name__ == "__main__":
    sys.exit(main())
