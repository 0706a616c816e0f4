"""Explores the model and says what was seen: ``python tests/model``."""

from __future__ import annotations

import time

from cases import CASES, explored


def main() -> None:
    began = time.monotonic()
    results = explored()
    for case in CASES:
        print(f"{case.title}: {results[case]}")
    states = sum(result.states for result in results.values())
    print(f"{states:,} states in {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
