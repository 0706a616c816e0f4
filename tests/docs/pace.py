"""Draws docs/explanation/batches.svg: what the controller of batches does as the handler changes.

    python tests/docs/pace.py

The controller is the one of the library; the database is a model of a transaction that costs 4 ms
and then so much for each message.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib import pyplot

from eoconsumer.core.batching import Pace
from eoconsumer.core.settings import Settings

TARGET = Path(__file__).parents[2] / "docs" / "explanation" / "batches.svg"
FIXED = 0.004  # seconds a transaction
#: From which second on, what one message costs (seconds), how many are waiting, and what it is.
PHASES = (
    (0.0, 0.000_03, 10**9, "a backlog"),
    (4.0, 0.000_8, 10**9, "a slow handler"),
    (10.0, 0.000_03, 10**9, "quick again"),
    (13.0, 0.000_03, 2, "500 messages/s"),
)
END = 16.0


def trace() -> list[tuple[float, int, float]]:
    """Return time, messages and seconds of each batch."""
    settings, now, seen = Settings(), 0.0, []
    pace = Pace(settings.target_commit_time, settings.batch_operations)
    while now < END:
        _, cost, waiting, _ = [phase for phase in PHASES if phase[0] <= now][-1]
        size = min(pace.limit, settings.batch_size, waiting)
        took = FIXED + size * cost
        seen.append((now, size, took))
        pace.measured(size, took)
        now += took
    return seen


def main() -> None:
    matplotlib.rcParams.update({"svg.hashsalt": "batches", "font.size": 9})
    times, sizes, seconds = zip(*trace(), strict=True)
    figure, (above, below) = pyplot.subplots(2, 1, sharex=True, figsize=(7.5, 4.2))
    above.step(times, sizes, where="post")
    above.set(yscale="log", ylabel="messages a batch", ylim=(1, 20_000))
    below.step(times, seconds, where="post", color="tab:orange")
    below.axhline(Settings().target_commit_time, color="grey", linestyle=":")
    below.set(yscale="log", ylabel="seconds a transaction", xlabel="seconds")
    for start, *_, name in PHASES:
        for axes in (above, below):
            axes.axvline(start, color="lightgrey", linewidth=0.8)
        above.annotate(name, (start + 0.1, 10_000))
    figure.tight_layout()
    figure.savefig(TARGET, metadata={"Date": None})


if __name__ == "__main__":
    main()
