"""How many files of tests run at a time."""

from __future__ import annotations

import pytest

#: Most tests wait for a server most of the time; those of one file share its fixtures.
AT_ONCE = 4


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Run one file by itself at once, in this process, where a debugger works too."""
    files = [config.invocation_params.dir / each.partition("::")[0] for each in config.args]
    return 0 if len(set(files)) == 1 and files[0].is_file() else AT_ONCE
