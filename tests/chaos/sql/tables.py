"""The tables of a run, and the trail of each change of an offset row, which triggers write.

A trigger writes in the transaction that it watches. So the trail has what was committed and nothing
else, and for one row it is in the order of the commits: the next writer waits for the row.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    insert,
)

from tests.chaos.feeder import MOST_PARTITIONS, STOCK, accounts

SERIAL = BigInteger().with_variant(Integer(), "sqlite")
metadata = MetaData()

#: Not unique: a double is to be seen, not refused.
effects = Table(
    "effects",
    metadata,
    Column("id", SERIAL, primary_key=True),
    Column("topic", String(100)),
    Column("partition", Integer),
    Column("offset", BigInteger),
    Column("key", String(100)),
    Column("quantity", Integer),
    Column("handled_at", Double),
    Column("seq", Integer),
    Column("source", String(100)),
    Column("target", String(100)),
    Column("n", Integer),
    Index("effects_place", "topic", "partition", "offset"),
)
counters = Table(
    "counters",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("n", Integer, nullable=False),
)
stock = Table(
    "stock",
    metadata,
    Column("account", String(100), primary_key=True),
    Column("stock", Integer, nullable=False),
)
changes = Table(
    "offset_changes",
    metadata,
    Column("id", SERIAL, primary_key=True),
    Column("wall", Double),
    Column("topic", String(249)),
    Column("partition_number", Integer),
    Column("old_epoch", BigInteger),
    Column("epoch", BigInteger),
    Column("old_next", BigInteger),
    Column("next_offset", BigInteger),
    Column("old_session", String(32)),
    Column("session", String(32)),
    Column("writer", String(32)),
)

#: The time, and the mark of the row's owner if it is this connection that carries it. SQLite has no
#: marks: who wrote is not known there.
_WALL_AND_WRITER = {
    "postgresql": (
        "extract(epoch FROM clock_timestamp())",
        "CASE WHEN NEW.session <> '' AND EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"
        " AND pid = pg_backend_pid() AND granted AND ((CAST(classid AS bigint) << 32)"
        " | CAST(objid AS bigint)) = CAST(CAST('x' || NEW.session AS bit(64)) AS bigint))"
        " THEN NEW.session ELSE 'another' END",
    ),
    "mysql": (
        "UNIX_TIMESTAMP(SYSDATE(6))",
        "IF(IS_USED_LOCK(CONCAT('eoconsumer ', NEW.session)) = CONNECTION_ID(), NEW.session,"
        " 'another')",
    ),
    "sqlite": ("(julianday('now') - 2440587.5) * 86400.0", "NEW.session"),
}
_WALL_AND_WRITER["mariadb"] = _WALL_AND_WRITER["mysql"]


def prepare(engine: Engine) -> None:
    """Make the tables, their first rows, and the triggers; those of the store are there."""
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(
            insert(counters), [{"partition": n, "n": 0} for n in range(MOST_PARTITIONS)]
        )
        connection.execute(insert(stock), [{"account": a, "stock": STOCK} for a in accounts()])
        for what, old in (("INSERT", ("0", "0", "''")), ("UPDATE", _OLD)):
            for statement in _trigger(engine.dialect.name, what, old):
                connection.exec_driver_sql(statement)


_OLD = ("OLD.epoch", "OLD.next_offset", "OLD.session")


def _trigger(dialect: str, what: str, old: tuple[str, str, str]) -> list[str]:
    wall, writer = _WALL_AND_WRITER[dialect]
    note = (
        "INSERT INTO offset_changes (wall, topic, partition_number, old_epoch, epoch, old_next,"
        " next_offset, old_session, session, writer)"
        f" VALUES ({wall}, NEW.topic, NEW.partition_number, {old[0]}, NEW.epoch, {old[1]},"
        f" NEW.next_offset, {old[2]}, NEW.session, {writer});"
    )
    name = f"trail_of_{what.lower()}"
    when = f"CREATE TRIGGER {name} AFTER {what} ON eoconsumer_offsets FOR EACH ROW"
    if dialect != "postgresql":
        return [f"{when} BEGIN {note} END"]
    return [
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS"
        f" $$ BEGIN {note} RETURN NULL; END $$",
        f"{when} EXECUTE FUNCTION {name}()",
    ]
