"""The processes of the examples, as the demo and the benchmark hold them."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

import pytest

from eoconsumer.cli.examples import Process

#: Which of the two takes the exit code is a matter of chance; one in fourteen went wrong.
TIMES = 300


def test_a_process_that_has_just_ended_is_ended_without_a_complaint(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def end_one() -> int | None:
        process = await asyncio.create_subprocess_exec("true")
        with suppress(ChildProcessError):  # asyncio was first
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        await Process(process).end()
        return process.returncode

    async def end_many() -> set[int | None]:
        return {await end_one() for _ in range(TIMES)}

    assert asyncio.run(end_many()) == {0}
    assert caplog.text == ""
