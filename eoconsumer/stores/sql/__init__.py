"""SQL: positions and the handler's writes in one transaction of PostgreSQL, MariaDB or SQLite."""

from eoconsumer.stores.sql.store import SQLStore
from eoconsumer.stores.sql.store_async import AsyncSQLStore

__all__ = ["AsyncSQLStore", "SQLStore"]
