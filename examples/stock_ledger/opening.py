"""The books that belong to a store: MongoDB's collections, or the tables of an SQL database."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pymongo.errors import PyMongoError

from eoconsumer.errors import ConfigurationError
from eoconsumer.protocols import Store
from eoconsumer.stores import open_store
from eoconsumer.stores.mongo import MongoStore

from .books_mongo import MongoBooks

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
    if isinstance(store, MongoStore):
        return cast("Books[S]", MongoBooks(store.database))
    if sqlalchemy_is_used():
        from eoconsumer.stores.sql import SQLStore

        from .books_sql import SQLBooks

        if isinstance(store, SQLStore):
            return cast("Books[S]", SQLBooks(store.engine))
    raise ConfigurationError(
        f"The stock ledger has no books for {store!r}; nothing was done. Let the URL begin with "
        "mongodb, postgresql, mariadb, mysql or sqlite."
    )


def sqlalchemy_is_used() -> bool:
    """Whether anybody asked for SQLAlchemy, which need not be installed."""
    return "sqlalchemy" in sys.modules


def database_errors() -> tuple[type[Exception], ...]:
    """Return what the drivers raise."""
    if not sqlalchemy_is_used():
        return (PyMongoError,)
    from sqlalchemy.exc import SQLAlchemyError

    return (PyMongoError, SQLAlchemyError)
