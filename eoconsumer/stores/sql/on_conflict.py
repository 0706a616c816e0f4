"""Inserts that meet rows which are there, as PostgreSQL and SQLite write them: ON CONFLICT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Insert, Table
from sqlalchemy.dialects import postgresql, sqlite

from eoconsumer.stores.sql.database import Settle


class OnConflict:
    """What the two databases have in common."""

    def insert_into(self, table: Table) -> postgresql.Insert | sqlite.Insert:
        """Return an insert of the database's own dialect."""
        raise NotImplementedError

    def insert_new(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> Insert:
        """Insert, or do nothing."""
        return self.insert_into(table).values(rows).on_conflict_do_nothing()

    def insert_or(
        self, table: Table, rows: Sequence[Mapping[str, Any]], settle: Mapping[str, Settle]
    ) -> Insert:
        """Insert, or update on a conflict of the primary key."""
        statement = self.insert_into(table).values(rows)
        new = statement.excluded
        return statement.on_conflict_do_update(
            index_elements=[column.name for column in table.primary_key],
            set_={name: value(new[name]) for name, value in settle.items()},
        )
