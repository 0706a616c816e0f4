"""The stores: one folder or file for each database, found by the scheme of a URL."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from eoconsumer.errors import ConfigurationError
from eoconsumer.protocols import Store

GROUP = "eoconsumer.stores"


def open_store(url: str) -> Store[Any]:
    """Return the store for ``url``, by its scheme: ``mongodb://host/shop?replicaSet=rs0``.

    What follows a ``+`` in the scheme (``mongodb+srv``) is the store's own business. Packages add
    stores with the entry point group ``eoconsumer.stores``: a class with a ``connect(url)``. Raises
    ``ConfigurationError`` for a URL without a scheme, an unknown one, and what the store refuses.
    """
    scheme, separator, _ = url.partition("://")
    if not separator:
        # The text is not shown: what is no URL may still hold a password.
        raise ConfigurationError(
            "The store is not a URL; nothing was opened. "
            "Its form is mongodb://host:27017/shop?replicaSet=rs0."
        )
    stores = {entry.name: entry for entry in entry_points(group=GROUP)}
    entry = stores.get(scheme.lower().partition("+")[0])
    if entry is None:
        raise ConfigurationError(
            f"No store is known for {scheme}://; nothing was opened. "
            f"Known are: {', '.join(sorted(stores)) or 'none'}."
        )
    try:
        kind = entry.load()
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"The store for {scheme}:// needs {error.name!r}, which is not installed; nothing was "
            f"opened. Run: pip install 'eoconsumer[{entry.name}]'"
        ) from error
    store: Store[Any] = kind.connect(url)
    return store
