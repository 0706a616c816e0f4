"""`eoconsumer bench scale`: what more partitions, workers, bytes and lag do to the library."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from eoconsumer.cli.bench.report.model import Section
from eoconsumer.cli.bench.scale.plan import Plan
from eoconsumer.cli.bench.scale.sections import section
from eoconsumer.cli.bench.stage import Load, Stage
from eoconsumer.cli.bench.task import Result
from eoconsumer.cli.bench.turns import Turn, take_turns
from eoconsumer.cli.bench.view import View

SIDE, SIZE = "writes", 200
#: Where there is no lag, messages come at this rate (messages a second), for so many seconds.
RATE, SECONDS = 500, 5

Runs = dict[int, Callable[[], Result]]


def measure(plan: Plan, stage: Stage, view: View) -> list[Section]:
    """Measure all axes of ``plan``; return a section for each."""
    sections = []
    for axis, places in plan.axes.items():
        view.say(f"Producing for: {axis}")
        with _AXES[axis](places, plan.messages, stage) as runs:
            turns = [Turn(f"{axis} {place:,}", run) for place, run in runs.items()]
            results = take_turns(turns, plan.rounds, view)
        sections.append(section(axis, dict(zip(runs, results.values(), strict=True))))
    return sections


@contextmanager
def _partitions(places: Sequence[int], messages: int, stage: Stage) -> Iterator[Runs]:
    loads = {place: stage.filled(messages, partitions=place) for place in places}
    yield {place: partial(stage.run, SIDE, load) for place, load in loads.items()}
    _remove(loads.values(), stage)


@contextmanager
def _workers(places: Sequence[int], messages: int, stage: Stage) -> Iterator[Runs]:
    load = stage.filled(messages, partitions=24)
    yield {place: partial(stage.together, SIDE, load, place) for place in places}
    _remove([load], stage)


@contextmanager
def _batch(places: Sequence[int], messages: int, stage: Stage) -> Iterator[Runs]:
    load = stage.filled(messages)
    yield {place: partial(stage.run, SIDE, load, batch_size=place) for place in places}
    _remove([load], stage)


@contextmanager
def _size(places: Sequence[int], messages: int, stage: Stage) -> Iterator[Runs]:
    """The same number of bytes in documents of each size, and some documents at least."""
    loads = {
        place: stage.filled(min(messages, max(100, messages * 1_000 // place)), size=place)
        for place in places
    }
    yield {place: partial(stage.run, SIDE, load) for place, load in loads.items()}
    _remove(loads.values(), stage)


@contextmanager
def _lag(places: Sequence[int], messages: int, stage: Stage) -> Iterator[Runs]:
    """Some of the messages are worked on while all of the lag is there."""
    runs: Runs = {}
    loads = list[Load]()
    for place in places:
        if place:
            loads.append(stage.filled(place))
            runs[place] = partial(stage.run, SIDE, loads[-1], min(place, messages))
        else:
            runs[place] = partial(stage.at_rate, SIDE, RATE, SECONDS)
    yield runs
    _remove(loads, stage)


def _remove(loads: Iterable[Load], stage: Stage) -> None:
    for load in loads:
        stage.remove(load)


_AXES = {
    "partitions": _partitions,
    "workers": _workers,
    "batch": _batch,
    "size": _size,
    "lag": _lag,
}
