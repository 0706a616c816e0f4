"""Processes that are killed at every point around a poison message: letter and position agree."""

from __future__ import annotations

import pytest
from conftest import Start
from pymongo.database import Database
from trial import Document, Fill, effects, positions, wait_until_done

COUNT = 120
#: Its key is that of every seventeenth message, see ``produce``.
POISON = 60
WAITING = [POISON, 77, 94, 111]


def letters(database: Database[Document]) -> list[int]:
    """Return the offsets of all dead letters; one that is there twice is here twice."""
    return sorted(letter["offset"] for letter in database["eoconsumer_dead_letters"].find())


@pytest.mark.slow
@pytest.mark.requirement("N5", "N15")
@pytest.mark.parametrize("point", ["written", "buried", "advanced", "committing", "committed"])
def test_dead_letters_quarantine_and_position_agree_after_a_kill(
    point: str, start: Start, fill: Fill, topic: str, database: Database[Document]
) -> None:
    produced = fill(topic, COUNT)
    settings = {"on_poison": "quarantine", "batch_size": 50, "readers": 1}
    bad = {"poison": [POISON], "attempts": 1}
    first = start(topic, {**bad, "point": point, "after": POISON + 1, "do": "kill"}, **settings)
    first.wait_until_killed()

    stored, seen = positions(database)[0], effects(database)
    assert letters(database) == [offset for offset in WAITING if offset < stored]
    good = [place for place in produced if place[1] not in WAITING]
    assert seen == dict.fromkeys((place for place in good if place[1] < stored), 1)
    held = database["eoconsumer_quarantine"].count_documents({})
    assert held == (stored > POISON) == (point == "committed")

    second = start(topic, bad, **settings)
    wait_until_done(database, produced)
    second.stop()

    assert letters(database) == WAITING
    assert effects(database) == dict.fromkeys(good, 1)
