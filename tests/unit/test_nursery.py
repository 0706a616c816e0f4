"""Processes of the tests are as good as those of an interpreter that was started for them."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import count
from pathlib import Path

import pytest

from tests import nursery
from tests.nursery import Child

Launch = Callable[..., Child]


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    """Start a child that runs some lines of Python; its log is ``log``."""

    number = count()

    def start(code: str, argument: str = "") -> Child:
        program = tmp_path / f"program-{next(number)}.py"
        program.write_text(f"import os, signal, sys\n{code}\n")
        return Child(program, argument, tmp_path / "log")

    return start


def test_a_child_has_its_argument_its_streams_and_its_exit_code(
    launch: Launch, tmp_path: Path
) -> None:
    code = "print(sys.argv[1], input(), __name__)\nprint('trouble', file=sys.stderr)\nsys.exit(3)"
    child = launch(code, "told")
    child.stdin.write(b"asked\n")

    assert child.stdout.read() == b"told asked __main__\n"
    assert child.wait(60) == 3
    assert (tmp_path / "log").read_text() == "trouble\n"


def test_a_child_that_raises_ends_with_1_and_a_traceback(launch: Launch, tmp_path: Path) -> None:
    assert launch("raise ValueError('so')").wait(60) == 1
    assert (tmp_path / "log").read_text().endswith("ValueError: so\n")


def test_a_child_reads_the_end_of_its_input_while_others_live(launch: Launch) -> None:
    other, child = launch("sys.stdin.read()"), launch("print(repr(sys.stdin.read()))")
    another = launch("sys.stdin.read()")
    child.stdin.close()

    assert child.stdout.read() == b"''\n"
    for each in (other, another):
        assert each.poll() is None
        each.stdin.close()
        assert each.wait(60) == 0


def test_a_child_is_heard_to_stop_to_go_on_and_to_be_killed(launch: Launch) -> None:
    stop = "os.kill(os.getpid(), signal.SIGSTOP)"
    child = launch(f"{stop}\nprint('between', flush=True)\n{stop}")
    child.wait_until_stopped()
    child.send_signal(signal.SIGCONT)
    assert child.stdout.readline() == b"between\n"
    child.wait_until_stopped()
    child.send_signal(signal.SIGKILL)

    assert child.wait(60) == -signal.SIGKILL
    child.send_signal(signal.SIGTERM)  # one that is gone does not mind


def test_children_have_imported_the_library_and_share_no_state(launch: Launch) -> None:
    code = "print('eoconsumer' in sys.modules, hasattr(sys, 'mine')); sys.mine = 1"
    for _ in range(2):
        assert launch(code).stdout.read() == b"True False\n"
    assert not hasattr(sys, "mine")


def test_a_child_handles_signals_as_a_new_interpreter_does(launch: Launch) -> None:
    code = """
print(signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL, signal.set_wakeup_fd(-1))
print(sorted(os.listdir('/proc/self/fd'))[:-1])
"""
    assert launch(code).stdout.read() == b"True -1\n['0', '1', '2']\n"


def test_children_that_are_started_at_once_by_several_threads_have_one_nursery(
    launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nursery, "_nursery", cache(nursery._nursery.__wrapped__))
    with ThreadPoolExecutor(8) as pool:
        children = [*pool.map(lambda _: launch("print(os.getppid()); input()"), range(8))]
    parents = {child.stdout.readline() for child in children}
    for child in children:
        child.stdin.close()
        child.wait(60)

    assert len(parents) == 1
