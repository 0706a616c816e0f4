"""The books that belong to a store: MongoDB's collections, or the tables of an SQL database."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar, cast

from eoconsumer.errors import ConfigurationError
from eoconsumer.protocols import Store
from eoconsumer.stores import open_store

if TYPE_CHECKING:
    from .books import Books

S = TypeVar("S")


def open_books(url: str) -> Books[Any]:
    """Return the books in the database of `url`; raises `ConfigurationError` for a bad URL."""
    return books_of(open_store(url))


def books_of(store: Store[S]) -> Books[S]:
    """Return the books in the database of `store`.

    Raises `ConfigurationError` for a store that has no books here.
    """
    if is_used("pymongo"):
        from eoconsumer.stores.mongo import MongoStore

        from .books_mongo import MongoBooks

        if isinstance(store, MongoStore):
            return cast("Books[S]", MongoBooks(store.database))
    if is_used("sqlalchemy"):
        from eoconsumer.stores.sql import SQLStore

        from .books_sql import SQLBooks

        if isinstance(store, SQLStore):
            return cast("Books[S]", SQLBooks(store.engine))
    raise ConfigurationError(
        f"The stock ledger has no books for {store!r}; nothing was done. Let the URL begin with "
        "mongodb, postgresql, mariadb, mysql or sqlite."
    )


def is_used(library: str) -> bool:
    """Whether a store has asked for `library`: it need not be installed, and takes time to load."""
    return library in sys.modules


def database_errors() -> tuple[type[Exception], ...]:
    """Return what the drivers in use raise."""
    errors: list[type[Exception]] = []
    if is_used("pymongo"):
        from pymongo.errors import PyMongoError

        errors.append(PyMongoError)
    if is_used("sqlalchemy"):
        from sqlalchemy.exc import SQLAlchemyError

        errors.append(SQLAlchemyError)
    return tuple(errors)
