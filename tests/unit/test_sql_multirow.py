"""What goes into a statement of many rows without the driver, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from eoconsumer.stores.sql.multirow import DRIVER, _form


@pytest.mark.parametrize(
    ("values", "form"),
    [
        ([1, -2, 10**30], "%s"),
        (["", "tea", 'a "pot"; -- of {tea}'], "'%s'"),
        *((["tea", odd], DRIVER) for odd in ("it's", "a\\b", "5 %", "a\nb", "\0", "\x7f", "thé")),
        (["tea", None], DRIVER),
        ([1, True], DRIVER),
        ([b"tea"], DRIVER),
    ],
)
def test_only_what_needs_no_escape_goes_in_without_the_driver(values: list[Any], form: str) -> None:
    assert _form(values) == form
