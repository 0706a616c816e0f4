"""How the tests run: how many files at a time, and with compiled code."""

from __future__ import annotations

import os
import sys

import pytest

# Tests start hundreds of processes: where Python is told to keep no compiled code, each of them
# would compile the library anew, and each worker of pytest all tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

#: Most tests wait for a server most of the time; those of one file share its fixtures.
AT_ONCE = 4


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Run one file by itself at once, in this process, where a debugger works too."""
    files = [config.invocation_params.dir / each.partition("::")[0] for each in config.args]
    return 0 if len(set(files)) == 1 and files[0].is_file() else AT_ONCE
