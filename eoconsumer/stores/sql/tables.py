"""The store's own tables: their columns, the same on every database.

Names are chosen so that none is a reserved word anywhere. A key of Kafka may be longer than an
index takes, so keys are found by their SHA-256.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

MYSQL = ("mysql", "mariadb")


class Utc(TypeDecorator[datetime]):
    """A time with its zone; as UTC where the database knows no zones."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the type of the column."""
        if dialect.name in MYSQL:
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime(timezone=dialect.name == "postgresql"))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Write UTC."""
        if value is None or dialect.name == "postgresql":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002 - as in SQLAlchemy
    ) -> datetime | None:
        """Read UTC."""
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)


def _name(length: int) -> TypeEngine[str]:
    """Return the type of a name that is compared byte by byte."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


LONG = Text().with_variant(mysql.LONGTEXT(), *MYSQL)
BYTES = LargeBinary().with_variant(mysql.LONGBLOB(), *MYSQL)
DIGEST = LargeBinary(32).with_variant(mysql.BINARY(32), *MYSQL)
SERIAL = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData()
_OPTIONS: dict[str, Any] = {
    f"{name}_{option}": value
    for name in MYSQL
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def _table(name: str, *parts: Column[Any] | Index, **options: Any) -> Table:
    return Table(f"eoconsumer_{name}", metadata, *parts, **_OPTIONS, **options)


def _place(*, key: bool) -> tuple[Column[Any], ...]:
    return (
        Column("group_name", _name(255), primary_key=key, nullable=False),
        Column("topic", _name(249), primary_key=key, nullable=False),
        Column("partition_number", Integer, primary_key=key, nullable=False, autoincrement=False),
    )


offsets = _table(
    "offsets",
    *_place(key=True),
    Column("lane", Integer, primary_key=True, autoincrement=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("owner", String(400), nullable=False),
    Column("session", String(32), nullable=False),
    Column("formers", String(128), nullable=False),
    Column("handed_over", Boolean, nullable=False),
    Column("topic_id", String(64)),
    Column("cluster_id", String(255)),
    Column("leader_epoch", Integer),
    Column("updated_at", Utc, nullable=False),
    Column("begun", BigInteger, nullable=False, server_default="0"),
)

topics = _table(
    "topics",
    Column("group_name", _name(255), primary_key=True),
    Column("topic", _name(249), primary_key=True),
    Column("partitions", Integer, nullable=False),
)

dead_letters = _table(
    "dead_letters",
    Column("id", SERIAL, primary_key=True),
    *_place(key=False),
    Column("offset_number", BigInteger, nullable=False),
    Column("timestamp_ms", BigInteger),
    Column("key_bytes", BYTES),
    Column("key_digest", DIGEST),
    Column("value_bytes", BYTES),
    Column("headers", LONG, nullable=False),
    Column("error_type", String(400), nullable=False),
    Column("error_text", LONG, nullable=False),
    Column("error_traceback", LONG, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("buried_at", Utc, nullable=False),
    Index(
        "eoconsumer_letters_place", "group_name", "topic", "partition_number", "offset_number", "id"
    ),
    Index("eoconsumer_letters_key", "group_name", "topic", "partition_number", "key_digest"),
    sqlite_autoincrement=True,
)

quarantine = _table(
    "quarantine",
    *_place(key=True),
    Column("key_digest", DIGEST, primary_key=True),
    Column("key_bytes", BYTES, nullable=False),
    Column("letters", BigInteger, nullable=False),
    Column("updated_at", Utc, nullable=False),
)

applied = _table(
    "applied",
    *_place(key=True),
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("line_number", BigInteger, primary_key=True, autoincrement=False),
    Column("first_offset", BigInteger, nullable=False),
    Column("upto_offset", BigInteger, nullable=False),
    Column("ranges", LONG, nullable=False),
    Column("passed", LONG, nullable=False),
    Column("written_at", Utc, nullable=False),
    Index("eoconsumer_applied_offsets", "group_name", "topic", "partition_number", "first_offset"),
)

schema = _table("schema", Column("version", Integer, primary_key=True, autoincrement=False))


def now() -> datetime:
    """Return the time for a column that nobody decides by."""
    return datetime.now(UTC)
