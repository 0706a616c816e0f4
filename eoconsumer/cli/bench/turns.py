"""Sides take turns: A B A B, so that whatever drifts on the machine meets all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from eoconsumer.cli.bench.task import Result
from eoconsumer.cli.bench.view import View


@dataclass(frozen=True, slots=True)
class Turn:
    """One side: its name, and how to run it once."""

    name: str
    run: Callable[[], Result]


def take_turns(turns: Sequence[Turn], rounds: int, view: View) -> Mapping[str, list[Result]]:
    """Run all ``turns`` one after the other, ``rounds`` times; return their results, by name.

    Before that comes a warm-up: a round whose results are thrown away.
    """
    results: dict[str, list[Result]] = {turn.name: [] for turn in turns}
    for number in range(rounds + 1):
        for turn in turns:
            view.begin(turn.name)
            result = turn.run()
            if number:
                results[turn.name].append(result)
            view.end(turn.name, f"round {number}" if number else "warm-up", in_words(result))
    return results


def in_words(result: Result) -> str:
    """Return what is worth a line while others go on."""
    if result.latency:
        return "  ".join(f"{name} {ms:,.1f} ms" for name, ms in result.latency.items())
    return f"{result.rate:>9,.0f} messages/s"
