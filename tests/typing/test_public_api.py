"""A user's program passes the strict type checker, and a user's mistakes do not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def strict(program: str) -> str:
    """Return what ``mypy --strict`` says about a file beside this one."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", str(HERE / program)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.slow
def test_a_program_with_a_class_and_a_decorator_is_well_typed() -> None:
    assert strict("program.py").startswith("Success")


@pytest.mark.slow
def test_the_session_of_a_handler_is_compared_with_that_of_the_store() -> None:
    assert strict("sessions.py").startswith("Success")


@pytest.mark.slow
def test_mistakes_in_a_program_are_found_by_the_type_checker() -> None:
    # Each mistake is marked as known; strict mode complains about a mark that is not needed.
    assert strict("mistakes.py").startswith("Success")
