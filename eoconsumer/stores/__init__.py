"""The stores: one folder or file for each database, found by the scheme of a URL."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from eoconsumer.errors import ConfigurationError
from eoconsumer.protocols import AsyncStore, Store

GROUP = "eoconsumer.stores"
ASYNC_GROUP = "eoconsumer.async_stores"


def open_store(url: str) -> Store[Any]:
    """Return the store for ``url``, by its scheme: ``mongodb://host/shop?replicaSet=rs0``.

    What follows a ``+`` in the scheme (``mongodb+srv``) is the store's own business. Packages add
    stores with the entry point group ``eoconsumer.stores``: a class with a ``connect(url)``. Raises
    ``ConfigurationError`` for a URL without a scheme, an unknown one, and what the store refuses.
    """
    store: Store[Any] = _kind(url, GROUP, "store").connect(url)
    return store


def open_async_store(url: str) -> AsyncStore[Any]:
    """Return the store of asyncio for ``url``; a plain function, since nothing connects yet.

    As ``open_store``, with the entry point group ``eoconsumer.async_stores``. A URL that names no
    driver (``postgresql://``, ``mariadb://``, ``sqlite:///``) fits both.
    """
    store: AsyncStore[Any] = _kind(url, ASYNC_GROUP, "store of asyncio").connect(url)
    return store


def _kind(url: str, group: str, what: str) -> Any:
    """Return the class that the entry point ``group`` has for the scheme of ``url``."""
    scheme, separator, _ = url.partition("://")
    if not separator:
        # The text is not shown: what is no URL may still hold a password.
        raise ConfigurationError(
            "The store is not a URL; nothing was opened. "
            "Its form is mongodb://host:27017/shop?replicaSet=rs0."
        )
    stores = {entry.name: entry for entry in entry_points(group=group)}
    entry = stores.get(scheme.lower().partition("+")[0])
    if entry is None:
        raise ConfigurationError(
            f"No {what} is known for {scheme}://; nothing was opened. "
            f"Known are: {', '.join(sorted(stores)) or 'none'}."
        )
    try:
        return entry.load()
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"The {what} for {scheme}:// needs {error.name!r}, which is not installed; nothing was "
            f"opened. Run: pip install 'eoconsumer[{entry.name}]'"
        ) from error
