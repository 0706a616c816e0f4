"""The command line: ``eoconsumer demo | run | doctor | dlq | offsets | verify | setup | dev``.

Each command imports what it needs when it is called, so that ``eoconsumer --help`` and a mistyped
option answer at once, and ``doctor`` works where the servers of the demo are not installed.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

#: The exit codes, beside 0, and 2 for a usage that the command line does not know.
FAILED, FOUND, MISCONFIGURED, INTERRUPTED = 1, 3, 78, 130


def main() -> None:
    """Run the command line, or say what is missing for it."""
    missing = [name for name in ("typer", "rich") if find_spec(name) is None]
    if missing:
        print(  # noqa: T201 - there is nothing else to say it with
            f"The command line needs {' and '.join(missing)}. Run: pip install 'eoconsumer[cli]'",
            file=sys.stderr,
        )
        raise SystemExit(MISCONFIGURED)
    from eoconsumer.cli.app import app

    app()
