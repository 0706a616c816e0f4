"""What became of each mode: the table, the sentence, the JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich import box
from rich.table import Table

from eoconsumer.cli.demo.plan import AUTO_COMMIT_MS, STEADY_RATE, Plan
from eoconsumer.cli.demo.view import title

COLUMNS = ["produced", "applied", "lost", "duplicated", "stock", "messages/s", "p50_ms", "p99_ms"]


@dataclass(frozen=True)
class Outcome:
    """What one mode did with what was produced; numbers of documents, unless they say otherwise.

    ``applied`` and ``lost`` make up ``produced``: a document is lost when something of it is not
    in the ledger; ``torn`` are those of them of which something is.
    """

    mode: str
    produced: int
    applied: int
    lost: int
    torn: int
    duplicated: int
    out_of_order: int
    stock_correct: bool
    cost_correct: bool
    kills: int
    seconds_with_kills: float
    messages_per_second: int
    p50_ms: float
    p99_ms: float

    @property
    def kept(self) -> bool:
        """Whether the mode kept its promise; auto-commit makes none."""
        exact = not (self.lost or self.duplicated) and self.stock_correct and self.cost_correct
        promises = {
            "auto_commit": True,
            "at_most_once": not self.duplicated,
            "at_least_once": not self.lost,
            "exactly_once": exact,
        }
        return promises[self.mode]

    @property
    def in_words(self) -> str:
        """What the kills did, in a few words."""
        harm = [
            f"{number:,} {what}"
            for number, what in ((self.lost, "lost"), (self.duplicated, "duplicated"))
            if number
        ]
        return f"{title(self.mode)}: {' and '.join(harm) or 'nothing lost, nothing duplicated'}"


@dataclass(frozen=True)
class Summary:
    """All outcomes, and how they came about; ``seconds`` is what the whole demo took."""

    plan: Plan
    outcomes: Sequence[Outcome]
    seconds: float

    @property
    def kept(self) -> bool:
        """Whether every mode kept its promise."""
        return all(outcome.kept for outcome in self.outcomes)

    def table(self) -> Table:
        """Return the figures side by side, within 80 columns."""
        table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
        table.add_column("mode")
        for column in COLUMNS:
            table.add_column(column.replace("_", " "), justify="right", no_wrap=True)
        for each in self.outcomes:
            right = each.stock_correct and each.cost_correct
            table.add_row(
                title(each.mode),
                *(f"{n:,}" for n in (each.produced, each.applied, each.lost, each.duplicated)),
                "right" if right else "WRONG",
                f"{each.messages_per_second:,}",
                *(f"{ms:.0f}" for ms in (each.p50_ms, each.p99_ms)),
                style="bold green" if not (each.lost or each.duplicated) else "",
            )
        return table

    def text(self) -> str:
        """Return what was shown, in sentences."""
        kills = {outcome.kills for outcome in self.outcomes}
        times = " or ".join(map(str, sorted(kills)))
        verdict = "Every mode kept its promise" if self.kept else "A MODE DID NOT KEEP ITS PROMISE"
        return (
            f"In each mode the worker was killed with SIGKILL {times} times, at the same messages, "
            "and what is in the database was compared with what was produced. "
            f"{'; '.join(outcome.in_words for outcome in self.outcomes)}. {verdict}.\n\n"
            f"lost: a part of the document, or all of it, is missing. auto-commit committed every "
            f"{AUTO_COMMIT_MS} ms, sooner than the work was done; with Kafka's default of 5 s the "
            "same kills would rather duplicate. messages/s: one worker with two readers catches "
            f"up on {self.plan.backlog:,} documents; in large batches these are few transactions: "
            "no more than a hint, eoconsumer bench measures. p50, p99: from produced to done, at "
            f"{STEADY_RATE:g} documents/s, all four modes at once. Neither with kills.\n"
            f"Seed {self.plan.seed}, {self.seconds:.0f} s in all."
        )

    def json(self) -> str:
        """Return all figures as JSON."""
        figures = {
            "seed": self.plan.seed,
            "documents": self.plan.documents,
            "kills_planned": self.plan.crashes,
            "auto_commit_interval_ms": AUTO_COMMIT_MS,
            "backlog": self.plan.backlog,
            "steady_documents_per_second": STEADY_RATE,
            "seconds": round(self.seconds, 1),
            "kept": self.kept,
            "modes": [asdict(outcome) for outcome in self.outcomes],
        }
        return json.dumps(figures, indent=2) + "\n"
