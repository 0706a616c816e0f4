"""What a consumer needs of its store, asked when it is made: not with the first bad message."""

from __future__ import annotations

from eoconsumer.config import Config
from eoconsumer.core.capabilities import Capability, insist


def must_serve(store: object, config: Config) -> None:
    """Raise ``ConfigurationError`` where ``store`` does not do what a setting asks for."""
    poison = f'on_poison="{config.on_poison}"'
    if config.on_poison in ("bury", "quarantine"):
        insist(store, Capability.LETTERS, poison, 'Set on_poison="stop" or "skip"')
    if config.on_poison == "quarantine":
        insist(store, Capability.QUARANTINE, poison, 'Set on_poison="bury"')
    if config.applied_log:
        insist(store, Capability.APPLIED_LOG, "applied_log=True", "Set applied_log=False")
    if config.lanes:
        insist(store, Capability.LANES, f"lanes={config.lanes}", "Set lanes=0")


def must_take_writes(store: object) -> None:
    """Raise ``ConfigurationError`` where ``store`` takes no writes that a handler returns."""
    instead = "Define handle(self, message, session)"
    insist(store, Capability.WRITES, 'a handler of the form "writes"', instead)


def must_keep_letters(store: object) -> None:
    """Raise ``ConfigurationError`` where there is nothing in ``store`` to be redriven."""
    insist(store, Capability.LETTERS, "a redrive", "Check that it is the store you mean")
