"""The start: the store is made ready, with patience where its server is only just starting."""

from __future__ import annotations

from eoconsumer.core.effects import Chance, Effects, Now, Report, SetUp, Sleep
from eoconsumer.core.settings import Settings
from eoconsumer.errors import StoreError, TransientStoreError


def set_up(settings: Settings) -> Effects[None]:
    """Make the store ready, tried again for ``store_timeout``, or until stop is asked for.

    A machine that boots starts the consumer beside its database, whichever is quicker. Raises
    ``StoreError`` when time is up, and what the store says of a wrong configuration at once.
    """
    began: float = yield Now()
    tries, stopping = 0, False
    while not stopping:
        try:
            yield SetUp()
            return
        except TransientStoreError as error:
            tries += 1
            now: float = yield Now()
            if now - began >= settings.store_timeout:
                raise StoreError(
                    f"The database was not ready for {now - began:.0f} s; nothing was consumed. "
                    f"Check the URL, and that the server runs. Last answer: {error}"
                ) from error
            yield Report("not_ready", {"error": error, "tries": tries})
            chance: float = yield Chance()
            stopping = yield Sleep(settings.patience.delay(tries, chance))
