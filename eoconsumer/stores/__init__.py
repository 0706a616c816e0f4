"""The stores: one folder or file for each database, found by the scheme of a URL."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from eoconsumer.errors import ConfigurationError, EOConsumerError
from eoconsumer.protocols import AsyncStore, Store
from eoconsumer.redact import redact_url

GROUP = "eoconsumer.stores"
ASYNC_GROUP = "eoconsumer.async_stores"


def open_store(url: str) -> Store[Any]:
    """Return the store for ``url``, by its scheme: ``mongodb://host/shop?replicaSet=rs0``.

    What follows a ``+`` in the scheme (``mongodb+srv``) is the store's own business. Packages add
    stores with the entry point group ``eoconsumer.stores``: a class with a ``connect(url)``. Raises
    ``ConfigurationError`` for a URL without a scheme, an unknown one, one that several packages
    have, and whatever keeps the package from making the store.
    """
    store: Store[Any] = _opened(url, GROUP, "store", Store)
    return store


def open_async_store(url: str) -> AsyncStore[Any]:
    """Return the store of asyncio for ``url``; a plain function, since nothing connects yet.

    As ``open_store``, with the entry point group ``eoconsumer.async_stores``. A URL that names no
    driver (``postgresql://``, ``mariadb://``, ``sqlite:///``) fits both.
    """
    store: AsyncStore[Any] = _opened(url, ASYNC_GROUP, "store of asyncio", AsyncStore)
    return store


def _opened(url: str, group: str, what: str, contract: type) -> Any:
    """Return what the entry point of ``group`` for the scheme of ``url`` connects to."""
    entry = _entry(url, group, what)
    name = f"The {what} for {entry.name}:// ({entry.value})"
    try:
        store = entry.load().connect(url)
    except EOConsumerError:
        raise
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{name} needs {error.name!r}, which is not installed; nothing was opened. "
            f"Run: pip install '{_package(entry)}[{entry.name}]'"
        ) from error
    except Exception as error:
        said = redact_url(f"{type(error).__name__}: {error}")
        raise ConfigurationError(
            f"{name} could not be made: {said}. Nothing was opened. That is for the package "
            f"{_package(entry)} to mend, unless the URL is wrong."
        ) from error
    if not isinstance(store, contract):
        raise ConfigurationError(
            f"{name} is a {type(store).__name__}, which lacks what the contract asks for; nothing "
            f"was opened. That is for the package {_package(entry)} to mend."
        )
    return store


def _entry(url: str, group: str, what: str) -> EntryPoint:
    """Return the entry point of ``group`` for the scheme of ``url``."""
    scheme, separator, _ = url.partition("://") if isinstance(url, str) else ("", "", "")
    if not separator:
        # The text is not shown: what is no URL may still hold a password.
        raise ConfigurationError(
            "The store is not a URL; nothing was opened. "
            "Its form is mongodb://host:27017/shop?replicaSet=rs0."
        )
    stores = entry_points(group=group)
    found = {e.value: e for e in stores if e.name == scheme.lower().partition("+")[0]}
    if not found:
        known = sorted({entry.name for entry in stores})
        raise ConfigurationError(
            f"No {what} is known for {scheme}://; nothing was opened. "
            f"Known are: {', '.join(known) or 'none'}."
        )
    if len(found) > 1:
        packages = " and ".join(sorted(f"{_package(e)} ({e.value})" for e in found.values()))
        raise ConfigurationError(
            f"{packages} both have a {what} for {scheme}://; nothing was opened. Uninstall all "
            "but one, or make the store by its class."
        )
    return found.popitem()[1]


def _package(entry: EntryPoint) -> str:
    return "eoconsumer" if entry.dist is None else entry.dist.name
