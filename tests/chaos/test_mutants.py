"""Each guard is taken out once, on real servers, and the checker sees the harm."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from eoconsumer.servers import KafkaBroker, MongoReplicaSet
from tests.chaos.checker import Evidence, judge
from tests.chaos.checker.effects import doubled, lost
from tests.chaos.mutants import CAUGHT, MUTANTS
from tests.chaos.scenes import MODES, SCENES, play, play_mode

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "mutants.md"
MOST_TIMES = 4  # that a scene is played with a mutant
AT_ONCE = 4  # scenes; they mostly wait for Kafka to notice that a member is gone


class Trial(NamedTuple):
    """A scene with a mutant or without; or a mode under a kill."""

    scene: str
    mutant: str | None = None

    def __str__(self) -> str:
        return self.mutant or self.scene


def caught(trial: Trial, evidence: Evidence) -> bool:
    """Whether the check that is named for the mutant says what it should."""
    mutant = MUTANTS[str(trial)]
    return any(mutant.says in said for said in judge(evidence).found[mutant.check])


Trials = dict[Trial, Future[Evidence]]


@pytest.fixture(scope="module")
def trials(
    request: pytest.FixtureRequest,
    kafka_broker: KafkaBroker,
    mongo_replica_set: MongoReplicaSet,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Trials]:
    """Play what the selected tests ask for, several at once."""
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    wanted = [call.params["trial"] for call in calls if call and "trial" in call.params]
    folder = tmp_path_factory.mktemp("scenes")

    def once(trial: Trial, number: int) -> Evidence:
        where = folder / f"{trial.scene}-{trial.mutant or 'library'}-{number}"
        if trial.scene in MODES:
            return play_mode(kafka_broker, mongo_replica_set, where, trial.scene)
        return play(kafka_broker, mongo_replica_set, where, trial.scene, trial.mutant)

    def run(trial: Trial) -> Evidence:
        evidence = once(trial, 0)
        # A zombie that hears from Kafka first, when it wakes, lets go before it can do harm: such
        # a scene says nothing of the mutant, and is played again.
        for number in range(1, MOST_TIMES if trial.mutant in MUTANTS else 1):
            if caught(trial, evidence):
                break
            evidence = once(trial, number)
        return evidence

    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {trial: pool.submit(run, trial) for trial in wanted}


def of(trials: list[Trial]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("trial", trials, ids=str)


@pytest.mark.slow
@of([Trial(scene) for scene in SCENES])
def test_the_scene_is_green_with_the_library(trial: Trial, trials: Trials) -> None:
    verdict = judge(trials[trial].result())
    assert ({name: verdict.found[name] for name in verdict.red}, verdict.invalid) == ({}, [])


@pytest.mark.slow
@of([Trial(mutant.scene, name) for name, mutant in MUTANTS.items()])
def test_the_check_that_is_named_for_the_mutant_is_red(trial: Trial, trials: Trials) -> None:
    evidence = trials[trial].result()
    print(trial.mutant, judge(evidence).red)  # noqa: T201 - for those who wonder what else it harms
    assert caught(trial, evidence)


@pytest.mark.slow
@of([Trial(scene, name) for name, scene in CAUGHT.items()])
def test_alone_the_mutant_does_no_harm(trial: Trial, trials: Trials) -> None:
    verdict = judge(trials[trial].result())
    assert {name: verdict.found[name] for name in verdict.red} == {}


@pytest.mark.slow
@of([Trial(mode) for mode in MODES])
def test_a_control_mode_shows_what_it_admits(trial: Trial, trials: Trials) -> None:
    evidence = trials[trial].result()
    verdict = judge(evidence)
    assert (verdict.red, verdict.invalid) == ([], [])
    assert doubled(evidence) if trial.scene == "at_least_once" else lost(evidence)


def test_the_page_about_the_mutants_names_them_all_and_all_scenes() -> None:
    page = PAGE.read_text("utf-8")
    ends = [(n, f'`{m.scene}` | {m.check}: "{m.says}" |') for n, m in MUTANTS.items()]
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    for name, end in ends:
        assert any(row.startswith(f"| `{name}` |") and row.endswith(end) for row in rows), name
    for name in (*CAUGHT, *SCENES):
        assert f"`{name}`" in page
