"""The checker sees each harm that is planted in a SQL database, as it reads it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, delete, insert, text, update

from eoconsumer.stores.sql import SQLStore
from tests.chaos.checker import Evidence, judge
from tests.chaos.checker.evidence import lines
from tests.chaos.checker.servers import read_database
from tests.chaos.journal import Journal
from tests.chaos.sql import tables
from tests.chaos.sql.observer import SQLChanges, SQLSnapshots
from tests.chaos.test_checker import PLACE, TOPIC, effect, good

ROW = {"group_name": "chaos", "topic": TOPIC, "partition_number": 0, "lane": 0, "owner": "one"}
LETTER = (
    "INSERT INTO eoconsumer_dead_letters (group_name, topic, partition_number, offset_number,"
    " headers, error_type, error_text, error_traceback, attempts, buried_at)"
    f" VALUES ('chaos', '{TOPIC}', 0, 2, '[]', 'ValueError', 'no', '', 1, '2026-01-01')"
)
ADVANCE = "eoconsumer_offsets advance"


@dataclass
class Run:
    """A database with what the good run of ``test_checker`` leaves, and who looks at it."""

    url: str
    folder: Path

    def __post_init__(self) -> None:
        store = SQLStore.connect(self.url)
        store.setup()
        tables.prepare(store.engine)
        store.close()
        self.engine = create_engine(self.url)
        with self.engine.begin() as connection:
            connection.execute(delete(tables.stock))
            stock = [{"account": name, "stock": 10} for name in "ab"]
            connection.execute(insert(tables.stock), stock)
        # Two owners: the first has 0 and 1, the second all that is left.
        self.claims(1, "01" * 8)
        self.applies(0, 1, upto=2)
        self.claims(2, "02" * 8)
        self.applies(4, upto=5, letter=True)

    def claims(self, epoch: int, mark: str) -> None:
        with self.engine.begin() as connection:
            if epoch == 1:
                settled = "session, formers, handed_over, next_offset, epoch, updated_at"
                connection.execute(
                    text(
                        f"INSERT INTO eoconsumer_offsets ({', '.join(ROW)}, {settled}) VALUES"
                        f" ({', '.join(f':{name}' for name in ROW)}, '', '', 0, 0, 0, '2026-01-01')"
                    ),
                    ROW,
                )
            connection.execute(
                text("UPDATE eoconsumer_offsets SET epoch = :epoch, session = :mark"),
                {"epoch": epoch, "mark": mark},
            )

    def applies(self, *offsets: int, upto: int, letter: bool = False) -> None:
        with self.engine.begin() as connection:
            for offset in offsets:
                row = effect(offset, n=min(offset, 2))
                connection.execute(insert(tables.effects), row)
                for account, n in ((row["source"], -2), (row["target"], 2)):
                    move = tables.stock.c.stock + n
                    mine = tables.stock.c.account == account
                    connection.execute(update(tables.stock).where(mine).values(stock=move))
            if letter:
                connection.execute(text(LETTER))
            connection.execute(
                text("UPDATE eoconsumer_offsets SET next_offset = :upto"), {"upto": upto}
            )

    def harm(self, plant: Callable[[Connection], Any]) -> None:
        with self.engine.begin() as connection:
            plant(connection)

    def evidence(self) -> Evidence:
        """Look once, read all, and put it in the place of the good run's evidence."""
        journals = [Journal(self.folder / f"{name}.jsonl") for name in ("changes", "snapshots")]
        looking = SQLChanges(self.url, journals[0]), SQLSnapshots(self.url, journals[1])
        for observer in looking:
            observer.start()
        assert looking[0].wait(lambda: looking[0].moved, 60), "the trail says nothing"
        looked = self.folder / "snapshots.jsonl"
        assert looking[0].wait(lambda: lines([looked]), 60), "nobody looked"
        for observer in looking:
            observer.stop()
        for journal in journals:
            journal.close()
        found = good()
        for name, value in read_database(self.url, "").items():
            setattr(found, name, value)
        found.changes = lines([self.folder / "changes.jsonl"])
        found.snapshots = lines([looked])
        found.side_feed, found.side_effects = [], []
        writes = ["counters", "effects", "stock", ADVANCE]
        found.said = [{"said": "command", "shape": {"command": "transaction", "writes": writes}}]
        found.faults[0]["since"] = time.monotonic()  # nothing is due that would show a recovery
        return found


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    found = Run(f"sqlite:///{tmp_path}/shop.db", tmp_path)
    yield found
    found.engine.dispose()


def doubled(connection: Connection) -> None:
    connection.execute(insert(tables.effects), effect(1, 3))


def lost(connection: Connection) -> None:
    connection.execute(delete(tables.effects).where(tables.effects.c.offset == 1))


def swapped(connection: Connection) -> None:
    number, mine = tables.effects.c.n, tables.effects.c.n < 2
    connection.execute(update(tables.effects).where(mine).values(n=1 - number))


def stock_moved_twice(connection: Connection) -> None:
    more = tables.stock.c.stock + 2
    target = tables.stock.c.account == "b"
    connection.execute(update(tables.stock).where(target).values(stock=more))


def position_behind(connection: Connection) -> None:
    # What a transaction that wrote the effects without the position leaves.
    connection.execute(text("DROP TRIGGER trail_of_update"))
    connection.execute(text("UPDATE eoconsumer_offsets SET next_offset = 4"))


def position_moved_back(connection: Connection) -> None:
    connection.execute(text("UPDATE eoconsumer_offsets SET next_offset = 2"))
    connection.execute(text("UPDATE eoconsumer_offsets SET next_offset = 5"))


def epoch_not_raised(connection: Connection) -> None:
    connection.execute(text("UPDATE eoconsumer_offsets SET epoch = 4"))


def moved_by_another(connection: Connection) -> None:
    note = "UPDATE offset_changes SET writer = 'another' WHERE next_offset > old_next"
    connection.execute(text(note))


HARM: list[tuple[Callable[[Connection], None], set[str]]] = [
    (doubled, {"effects", "order", "stock", "snapshot"}),
    (lost, {"effects", "skipped", "order", "stock", "snapshot"}),
    (swapped, {"order"}),
    (stock_moved_twice, {"stock"}),
    (position_behind, {"skipped", "snapshot"}),
    (position_moved_back, {"protocol"}),
    (epoch_not_raised, {"protocol"}),
    (moved_by_another, {"protocol"}),
]


def test_a_good_sql_run_is_green(run: Run) -> None:
    evidence = run.evidence()
    verdict = judge(evidence)
    assert (verdict.red, verdict.invalid) == ([], []), verdict.found
    assert evidence.positions == {PLACE: 5}
    assert [change["fields"].get("epoch") for change in evidence.changes] == [1, None, 2, None]


@pytest.mark.requirement("N17")
@pytest.mark.parametrize(("plant", "red"), HARM, ids=[plant.__name__ for plant, _ in HARM])
def test_each_harm_in_a_sql_database_turns_its_checks_red(
    plant: Callable[[Connection], None], red: set[str], run: Run
) -> None:
    run.harm(plant)
    verdict = judge(run.evidence())
    assert set(verdict.red) == red, verdict.found


def test_a_change_that_the_trail_does_not_have_makes_the_run_invalid(run: Run) -> None:
    run.harm(lambda connection: connection.execute(text("DELETE FROM offset_changes WHERE id = 4")))
    assert judge(run.evidence()).invalid == ["changes of the rows were missed"]


SHAPES: list[tuple[str, dict[str, Any]]] = [
    (
        "the position is not written in the transaction",
        {"command": "transaction", "writes": ["effects", "stock"]},
    ),
    (
        "behind what the handler writes",
        {"command": "transaction", "writes": [ADVANCE, "effects"]},
    ),
    ("outside of a transaction", {"command": "write", "writes": [ADVANCE]}),
    (
        "does not wait for the disk",
        {"command": "durability", "dialect": "postgresql", "value": "off"},
    ),
]


@pytest.mark.parametrize(("says", "shape"), SHAPES, ids=[says for says, _ in SHAPES])
def test_a_worker_that_asks_for_less_turns_concerns_red(says: str, shape: dict[str, Any]) -> None:
    evidence = good()
    evidence.said.append({"said": "command", "shape": shape})
    verdict = judge(evidence)
    assert verdict.red == ["concerns"]
    assert says in verdict.found["concerns"][0]
