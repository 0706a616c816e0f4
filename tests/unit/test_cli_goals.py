"""Where positions are to go: what the words mean, before anything is asked of a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from eoconsumer.cli.offsets import goals
from eoconsumer.cli.offsets.group import Group, Standing
from eoconsumer.cli.subject import Subject, subject
from eoconsumer.core.positions import Position, Start
from eoconsumer.errors import ConfigurationError, StoreError
from eoconsumer.message import TopicPartition
from eoconsumer.stores.memory import MemoryStore

P0, P1 = TopicPartition("orders", 0), TopicPartition("orders", 1)
NOBODY: Any = None  # goals that ask nothing of Kafka


def standing(key: TopicPartition, at: int | None, low: int = 0, end: int = 100) -> Standing:
    return Standing(key, None if at is None else Position(at, 3), committed=7, low=low, end=end)


def test_an_offset_outside_the_log_is_shortened_and_that_is_said() -> None:
    standings = [standing(P0, 50, low=10), standing(P1, 50, end=60)]

    shortened, said = goals.within_the_log(standings, {P0: 3, P1: 61})

    assert shortened == {P0: 10, P1: 60}
    assert [line.partition(":")[0] for line in said] == ["orders[0]", "orders[1]"]


def test_an_offset_at_an_end_of_the_log_is_taken_as_it_is() -> None:
    wanted = {P0: 10, P1: 100}
    assert goals.within_the_log([standing(P0, 50, low=10), standing(P1, 50)], wanted) == (
        wanted,
        [],
    )


def test_a_shift_starts_from_each_position() -> None:
    assert goals.shifted(-5)(NOBODY, [standing(P0, 50), standing(P1, 8)]) == {P0: 45, P1: 3}


def test_a_shift_needs_a_position() -> None:
    with pytest.raises(ConfigurationError, match=r"orders\[1\] has no position"):
        goals.shifted(1)(NOBODY, [standing(P0, 50), standing(P1, None)])


def test_the_position_that_was_handed_over_is_the_one_in_kafka() -> None:
    row = Position(50, 3, handed_over=True)
    assert Standing(P0, row, committed=7, low=0, end=100).lag == 93


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_file_is_read_as_kafkas_tool_writes_it(quote: str) -> None:
    lines = [f"{quote}orders{quote},{n},{n * 10}\n" for n in (0, 1)]
    assert goals.read_csv([*lines, "\n"]) == {P0: 0, P1: 10}


@pytest.mark.parametrize("line", ["orders,0", "orders,0,x", "group,orders,0,5", "orders;0;5"])
def test_a_line_that_is_something_else_is_refused_by_its_number(line: str) -> None:
    with pytest.raises(ConfigurationError, match="Line 2 of the file is not"):
        goals.read_csv(["orders,1,5", line])


def test_a_partition_that_a_file_names_twice_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"Line 2 of the file names orders\[0\] again"):
        goals.read_csv(["orders,0,5", "orders,0,6"])


def test_a_file_that_names_no_partition_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="The file names no partition"):
        goals.read_csv(["\n", "\n"])


@pytest.mark.parametrize("content", [b"orders,0,5\norders,1,\xff\n", b"x" * 200_000])
def test_a_file_that_is_no_csv_in_utf_8_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "positions.csv"
    file.write_bytes(content)
    with (
        file.open(encoding="utf-8") as lines,
        pytest.raises(ConfigurationError, match="The file is no CSV in UTF-8"),
    ):
        goals.read_csv(lines)


def test_a_time_before_kafkas_first_is_the_first() -> None:
    asked: list[int] = []

    class Log:
        def since(self, _: object, moment: int) -> dict[TopicPartition, int]:
            asked.append(moment)
            return {P0: 3}

        def latest(self, _: object) -> dict[TopicPartition, int]:
            return {P0: 100}

    kafka: Any = Log()
    assert goals.since(datetime(1960, 1, 1, tzinfo=UTC))(kafka, [standing(P0, 50)]) == {P0: 3}
    assert asked == [0]


def test_a_time_without_a_zone_is_utc_as_in_kafkas_tool() -> None:
    wanted = datetime(2026, 1, 31, 7, 30, tzinfo=UTC)
    assert goals.moment("2026-01-31T07:30:00.000") == wanted
    assert goals.moment("2026-01-31T08:30+01:00") == wanted


def test_a_duration_counts_back_from_now() -> None:
    wanted = datetime.now(UTC) - timedelta(days=1, hours=2, minutes=3, seconds=4)
    assert abs(goals.ago("P1DT2H3M4S") - wanted) < timedelta(seconds=9)


@pytest.mark.parametrize("text", ["1h", "90", "12:00", "P", "PT", "P9999999999D"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is no duration"):
        goals.ago(text)


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="--to-datetime yesterday"):
        goals.moment("yesterday")


class Topics:
    def topics(self) -> dict[str, int]:
        return {"orders": 2}


def test_a_row_that_was_claimed_meanwhile_is_left_where_it_is_and_named() -> None:
    store = MemoryStore()
    session = store.open("ledger", "first")
    rows = session.claim([P0, P1], {P0: Start(5, 2), P1: Start(6, 2)}).positions
    group = Group(
        Subject("ledger", store, {"bootstrap.servers": "nowhere:1", "group.id": "ledger"})
    )
    group.kafka = Topics()  # type: ignore[assignment]  # all that a move asks of Kafka, but for:
    group._inspector.look_up = lambda _: {}  # type: ignore[method-assign]
    seen = [Standing(key, row, None, low=0, end=100) for key, row in rows.items()]
    session.claim([P1], {})

    with pytest.raises(StoreError, match=r"^orders\[1\]: a consumer claimed it"):
        group.move(seen, {P0: 50, P1: 60})

    found = session.all_positions()
    assert {key: (row.next_offset, row.owner) for key, row in found.items()} == {
        P0: (50, ""),
        P1: (6, ""),
    }


def test_a_consumer_by_its_name_brings_group_store_and_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = """
from eoconsumer import Consumer
from eoconsumer.stores.memory import MemoryStore

made = Consumer("kafka:9092", MemoryStore(), group="made", kafka={"client.id": "till"})
"""
    (tmp_path / "made_here.py").write_text(program)
    monkeypatch.syspath_prepend(tmp_path)
    with subject("made_here:made", None, None, None) as found:
        assert found.group == "made"
        assert isinstance(found.store, MemoryStore)
        settings = {name: found.kafka[name] for name in ("bootstrap.servers", "client.id")}
        assert settings == {"bootstrap.servers": "kafka:9092", "client.id": "till"}
