"""The effects and the positions of a trial, as a SQL database has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    MetaData,
    NullPool,
    Table,
    create_engine,
    select,
)
from trial import Place, Verdict, ends, eventually, judged

from eoconsumer.core.lanes import Lane
from eoconsumer.stores.sql.tables import offsets

EFFECTS = Table(
    "effects",
    MetaData(),
    Column("partition", Integer),
    Column("offset", BigInteger),
    Column("handled_at", BigInteger),
    Column("by", Integer),
)


class SQLTrial:
    """A database of a trial, seen from outside."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = create_engine(url, poolclass=NullPool)  # the servers come and go
        EFFECTS.metadata.create_all(self.engine)

    @property
    def done(self) -> list[Place]:
        """The messages that have an effect, in the order in which they were handled."""
        rows = select(EFFECTS.c.partition, EFFECTS.c.offset).order_by(EFFECTS.c.handled_at)
        with self.engine.connect() as connection:
            return [(partition, offset) for partition, offset in connection.execute(rows)]

    @property
    def effects(self) -> Counter[Place]:
        """How often each message has an effect."""
        return Counter(self.done)

    @property
    def positions(self) -> dict[int, int]:
        """The stored position of each partition."""
        rows = select(offsets.c.partition_number, offsets.c.next_offset).where(offsets.c.lane == 0)
        with self.engine.connect() as connection:
            found = connection.execute(rows).all()
        return {row.partition_number: row.next_offset for row in found}

    @property
    def numbers_of_lanes(self) -> set[int]:
        """Of which numbers of lanes there are rows."""
        with self.engine.connect() as connection:
            rows = connection.scalars(select(offsets.c.lane).where(offsets.c.lane > 0)).all()
        return {Lane.of_row(row).lanes for row in rows}

    def verdict(self, produced: Iterable[Place]) -> Verdict:
        """Compare the effects with what was produced."""
        return judged(self.done, produced)

    def wait_until_done(self, produced: Iterable[Place]) -> None:
        """Wait until the stored positions stand behind all that was produced."""
        eventually(lambda: self.positions, lambda stored: stored == ends(produced))
