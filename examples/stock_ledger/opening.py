"""The books that belong to a store: MongoDB's collections, or the tables of an SQL database."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeAlias

from pymongo.errors import PyMongoError

from eoconsumer.protocols import Store
from eoconsumer.stores import open_store
from eoconsumer.stores.mongo import MongoStore

from .books import Books

if TYPE_CHECKING:
    from .books_sql import SQLBooks

AnyBooks: TypeAlias = "Books | SQLBooks"


def open_books(url: str) -> AnyBooks:
    """Return the books in the database of `url`; raises `ConfigurationError` for a bad URL."""
    return books_of(open_store(url))


def books_of(store: Store[Any]) -> AnyBooks:
    """Return the books in the database of `store`."""
    if isinstance(store, MongoStore):
        return Books(store.database)
    from eoconsumer.stores.sql import SQLStore

    from .books_sql import SQLBooks

    assert isinstance(store, SQLStore), f"the stock ledger does not know {store!r}"
    return SQLBooks(store.engine)


def database_errors() -> tuple[type[Exception], ...]:
    """Return what the drivers raise; SQLAlchemy is asked only where it is in use."""
    sqlalchemy = sys.modules.get("sqlalchemy.exc")
    return (PyMongoError, *([sqlalchemy.SQLAlchemyError] if sqlalchemy else []))
