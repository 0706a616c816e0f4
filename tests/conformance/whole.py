"""Of our own stores on servers no test may be skipped."""

from __future__ import annotations

from typing import NoReturn

import pytest


class NothingIsSkipped:
    """Put before a conformance class, makes a failure of what it would skip."""

    def lacks(self, reason: str) -> NoReturn:
        pytest.fail(f"{type(self).__name__}: {reason}, and none of its tests may be skipped")
