"""SQL: positions and the handler's writes in one transaction of PostgreSQL, MariaDB or SQLite."""

from eoconsumer.stores.sql.store import SQLStore

__all__ = ["SQLStore"]
