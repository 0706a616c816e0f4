"""Crashes on order and the figures that outlive a worker."""

import json
import os
from pathlib import Path

import pytest
from stock_ledger.crash import CrashPlan, CrashPoint, Where
from stock_ledger.generate import documents
from stock_ledger.ledger import Entries, Source, expand
from stock_ledger.watch import Done, Watch, percentiles

IN_HANDLER = CrashPoint(1, 3, Where.IN_HANDLER)


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it runs."""


@pytest.fixture(autouse=True)
def _kill_is_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(_pid: int, _signal: int) -> None:
        raise Killed

    monkeypatch.setattr(os, "kill", kill)


def entries(partition: int, count: int = 6) -> list[Entries]:
    return [
        expand(document, Source("t", partition, offset), handled_at=0)
        for offset, document in enumerate(documents(count, seed=3))
    ]


def test_a_crash_point_is_read_from_the_command_line() -> None:
    assert CrashPoint.parse("1:3:in-handler") == IN_HANDLER
    with pytest.raises(ValueError, match="somewhere"):
        CrashPoint.parse("1:3:somewhere")


def test_without_a_point_all_is_written_at_once() -> None:
    work = entries(0)
    assert list(CrashPlan().cut(work)) == [work]
    assert list(CrashPlan([IN_HANDLER]).cut(work)) == [work]


def test_at_a_point_the_process_dies_with_half_of_the_message_written(tmp_path: Path) -> None:
    work, written = entries(1), list[Entries]()
    pieces = CrashPlan([IN_HANDLER], tmp_path).cut(work)
    written += next(pieces)
    with pytest.raises(Killed):
        next(pieces)
    assert written[:3] == work[:3]
    assert len(written) == 4
    assert written[3].ledger == work[3].ledger[: len(work[3].ledger) // 2]
    assert written[3].payables == []


def test_a_point_strikes_once_also_for_the_worker_that_is_started_again(tmp_path: Path) -> None:
    work = entries(1)
    with pytest.raises(Killed):
        list(CrashPlan([IN_HANDLER], tmp_path).cut(work))
    assert list(CrashPlan([IN_HANDLER], tmp_path).cut(work)) == [work]


def test_a_point_after_the_commit_strikes_before_anything_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = CrashPlan([CrashPoint(1, 3, Where.AFTER_COMMIT)], tmp_path)
    with pytest.raises(Killed):
        Watch(plan, progress=True).done(Done(Source("t", 1, offset), 0) for offset in range(5))
    assert capsys.readouterr().out == ""


def test_progress_is_a_json_line_when_work_is_done_and_when_the_stages_have_followed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    watch = Watch(progress=True)
    watch.done(Done(Source("t", 1, offset), 0) for offset in range(5))
    watch.done(Done(Source("t", 2, offset), 0) for offset in range(5))
    watch.followed(5)
    lines = capsys.readouterr().out.splitlines()
    assert [tuple(json.loads(line).values()) for line in lines] == [(5, 0), (10, 0), (10, 5)]
    assert json.loads(lines[0]).keys() == {"applied", "followed"}


def test_latencies_of_all_workers_are_in_one_file(tmp_path: Path) -> None:
    file = tmp_path / "latencies"
    for _ in range(2):
        Watch(latencies=file).done(Done(Source("t", 1, offset), 0) for offset in range(5))
    assert len(file.read_text().splitlines()) == 10


def test_percentiles_are_taken_over_the_whole_file(tmp_path: Path) -> None:
    file = tmp_path / "latencies"
    assert percentiles(file) is None
    file.write_text("".join(f"{value}\n" for value in range(101)))
    assert percentiles(file) == (50, 99)


def test_the_progress_tells_when_the_work_begins(capsys: pytest.CaptureFixture[str]) -> None:
    watch = Watch(progress=True)
    watch.assigned()
    watch.done([Done(Source("t", 0, 0), 0)])
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["applied"] for line in lines] == [0, 1]


def test_a_seed_can_be_taken_up_where_it_was_left() -> None:
    assert [*documents(4, seed=3), *documents(6, seed=3, skip=4)] == [*documents(10, seed=3)]
