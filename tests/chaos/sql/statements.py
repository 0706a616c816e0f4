"""What a worker asks a SQL database for: every shape of transaction and lone write, told once.

This is evidence for the check "concerns": which tables one transaction wrote to, in order, what was
written outside of one, and whether a commit waits for the disk.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Engine, event

BEGIN = re.compile(r"\s*(BEGIN|START TRANSACTION)\b", re.IGNORECASE)
WRITE = re.compile(r"\s*(?:INSERT INTO|UPDATE|DELETE FROM)\s+[\"`]?(\w+)", re.IGNORECASE)
OFFSETS = "eoconsumer_offsets"
DURABILITY = {
    "postgresql": "SHOW synchronous_commit",
    "mysql": "SELECT @@innodb_flush_log_at_trx_commit",
    "mariadb": "SELECT @@innodb_flush_log_at_trx_commit",
    "sqlite": "PRAGMA synchronous",
}


class Statements:
    """Listens to an engine, and says each shape the first time that it is seen."""

    def __init__(self, engine: Engine, say: Callable[..., None]) -> None:
        self._say = say
        self._seen: set[str] = set()
        event.listen(engine, "before_cursor_execute", self._sends)
        event.listen(engine, "commit", self._commits)
        event.listen(engine, "rollback", self._ends)

    def _sends(self, connection: Connection, _: Any, statement: str, *__: Any) -> None:
        info = connection.info
        if BEGIN.match(statement):
            info["chaos_writes"] = []
            return
        if not (found := WRITE.match(statement)):
            return
        writes = info.get("chaos_writes")
        what = _what(found[1], statement)
        if writes is None:
            self._tell({"command": "write", "writes": [what]})
            return
        if not writes:
            self._ask(connection)
        if what in writes:
            writes.remove(what)
        writes.append(what)

    def _ask(self, connection: Connection) -> None:
        """Ask on the transaction's own connection whether its commit waits for the disk."""
        name = connection.dialect.name
        cursor = connection.connection.cursor()
        cursor.execute(DURABILITY[name])
        (value,) = cursor.fetchone() or ("?",)
        cursor.close()
        self._tell({"command": "durability", "dialect": name, "value": str(value)})

    def _commits(self, connection: Connection) -> None:
        if writes := self._ends(connection):
            self._tell({"command": "transaction", "writes": writes})

    def _ends(self, connection: Connection) -> list[str]:
        if connection.invalidated or connection.closed:
            return []
        return connection.info.pop("chaos_writes", None) or []

    def _tell(self, shape: dict[str, Any]) -> None:
        text = json.dumps(shape, sort_keys=True)
        if text not in self._seen:
            self._seen.add(text)
            self._say("command", shape=shape)


def _what(table: str, statement: str) -> str:
    """Tell an advance, which sets the position first, from the other writes of an offset row."""
    advances = table == OFFSETS and re.search(r"\bSET next_offset = CASE\b", statement)
    return f"{table} advance" if advances else table
