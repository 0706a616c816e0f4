"""What is compared: every mode, and in exactly-once every form of a handler."""

from __future__ import annotations

from dataclasses import dataclass

from stock_ledger.worker import RunMode

from .consumers import Batch, OneMessage, Watched, Writes


@dataclass(frozen=True)
class Variant:
    """A mode with a form of handler; no form where it is a loop without the library."""

    mode: RunMode
    consumer: type[Watched] | None

    @property
    def may_lose(self) -> bool:
        """Whether a kill may cost documents."""
        return self.mode in (RunMode.AUTO_COMMIT, RunMode.AT_MOST_ONCE)

    @property
    def may_double(self) -> bool:
        """Whether a kill may double documents."""
        return self.mode in (RunMode.AUTO_COMMIT, RunMode.AT_LEAST_ONCE)


VARIANTS = {
    "auto-commit": Variant(RunMode.AUTO_COMMIT, None),
    "at-most-once": Variant(RunMode.AT_MOST_ONCE, Batch),
    "at-least-once": Variant(RunMode.AT_LEAST_ONCE, Batch),
    "exactly-once-handle": Variant(RunMode.EXACTLY_ONCE, OneMessage),
    "exactly-once-batch": Variant(RunMode.EXACTLY_ONCE, Batch),
    "exactly-once-writes": Variant(RunMode.EXACTLY_ONCE, Writes),
}
