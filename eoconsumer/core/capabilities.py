"""What a store may do beside the heart of the contract, and how it says so."""

from __future__ import annotations

from enum import Enum

from eoconsumer.errors import ConfigurationError


class Capability(Enum):
    """What a store may leave out. The value says of a store what it means to be without."""

    WRITES = "takes no writes that handlers return"
    LETTERS = "keeps no dead letters"
    QUARANTINE = "keeps no keys in quarantine"
    APPLIED_LOG = "keeps no applied-log"
    LANES = "has no rows for lanes"
    ENDS_FORMER_OWNER = "cannot end the session of a former owner"
    MANY_WRITERS = "has one transaction write after the other"

    def missing(self) -> ConfigurationError:
        """Return the error of a store that is asked for what it does not do."""
        return ConfigurationError(
            f"This store {self.value}; nothing was done. Use one that declares {self}."
        )


EVERYTHING = frozenset(Capability)


def capabilities_of(store: object) -> frozenset[Capability]:
    """Return what ``store`` declares in ``capabilities``.

    One that declares nothing does everything; that it has lanes, it shows by its ``open_lane``.
    """
    declared: frozenset[Capability] | None = getattr(store, "capabilities", None)
    if declared is not None:
        return declared
    return EVERYTHING if hasattr(store, "open_lane") else EVERYTHING - {Capability.LANES}


def insist(store: object, capability: Capability, wanted: str, instead: str) -> None:
    """Raise ``ConfigurationError`` where ``store`` does not declare what ``wanted`` needs.

    ``instead`` is what to do with this store, as the beginning of a sentence.
    """
    if capability not in capabilities_of(store):
        raise ConfigurationError(
            f"{type(store).__name__} {capability.value}: {wanted} is not possible with it; nothing "
            f"was done. {instead}, or use a store that declares {capability}."
        )
