"""The books in tables of PostgreSQL, MariaDB or SQLite, one for each of the names in `books`.

A column is where MongoDB has a field. A killed worker needs no
`take_over` here: the server rolls its transaction back as soon as its connection is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    column,
    delete,
    func,
    insert,
    inspect,
    select,
    table,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.schema import SchemaItem

from .books import BATCH, Books, Span
from .ledger import Entries, LedgerRow, PayableRow, together
from .stock import Cost, Derived, Stock

_POSITION = ("group_name", "topic", "partition_number", "next_offset")

_TOPIC = String(249)  # as long as a topic's name may be
_metadata = MetaData()


def _name(name: str) -> Column[str]:
    return Column(name, String(100), nullable=False)


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _place() -> list[Column[Any]]:
    return [Column("topic", _TOPIC, nullable=False), Column("partition", Integer, nullable=False)]


def _rows(name: str, *columns: Column[Any]) -> Table:
    """Return a table of rows that name their message; no index is unique: see `ledger`."""
    times = Column("at", DateTime(timezone=True), nullable=False), _number("handled_at")
    message = *_place(), _number("offset"), _number("line"), _name("document")
    order = Index(f"{name}_by_message", "topic", "partition", "offset", "line")
    parts: list[SchemaItem] = [*message, *columns, *times, order]
    return Table(name, _metadata, *parts)


_ledger = _rows(
    "ledger", *map(_name, ("kind", "store", "item")), *map(_number, ("quantity", "price"))
)
_payables = _rows("payables", _name("vendor"), _number("amount"))
_holdings = Table(
    "holdings",
    _metadata,
    *(Column(name, String(100), primary_key=True) for name in ("store", "item")),
    *_place(),
    *map(_number, ("stock_quantity", "cost_quantity", "cost_value", "cost_average")),
    Index("holdings_by_partition", "topic", "partition"),
)
_stages = Table(
    "stages",
    _metadata,
    Column("topic", _TOPIC, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    _number("next_offset"),
)


class SQLBooks(Books[Session]):
    """The ledger's tables in one database."""

    def __init__(self, engine: Engine) -> None:
        """Use `engine`."""
        self._engine = engine

    def setup(self) -> None:
        """Create the tables that are missing; of many that start at once, one creates each."""
        for each in _metadata.sorted_tables:
            try:
                each.create(self._engine, checkfirst=True)
            except DBAPIError:
                if not inspect(self._engine).has_table(each.name):  # nobody was quicker
                    raise

    def write(self, entries: Iterable[Entries], session: Session | None = None) -> None:
        """Store all rows of `entries`, in the session's transaction if there is one."""
        rows = together(entries)
        if session is None:
            with Session(self._engine) as own, own.begin():
                _insert(own, rows)
        else:
            _insert(session, rows)

    def ledger_rows(self, topic: str, partition: int) -> Iterator[LedgerRow]:
        """Yield the ledger rows of a partition, by offset and line."""
        with self._engine.connect() as connection:
            yield from _in_order(connection, _ledger, _of(_ledger, topic, partition))

    def payable_rows(self, topic: str, partition: int) -> Iterator[PayableRow]:
        """Yield the payables of a partition, by offset."""
        with self._engine.connect() as connection:
            yield from _in_order(connection, _payables, _of(_payables, topic, partition))

    def derived(self) -> Derived:
        """Return what the stages made of the ledger so far."""
        with self._engine.connect() as connection:
            return _read(connection, [])

    def partitions(self) -> set[int]:
        """Return the partitions of which there is anything."""
        with self._engine.connect() as connection:
            return {
                partition
                for rows in (_ledger, _holdings)
                for partition in connection.scalars(select(rows.c.partition).distinct())
            }

    def positions(self, topic: str, group: str) -> dict[int, int]:
        """Return the positions that eoconsumer keeps for `group`; empty where it keeps none."""
        if not inspect(self._engine).has_table("eoconsumer_offsets"):
            return {}
        kept = table("eoconsumer_offsets", *map(column, _POSITION))
        wanted = (kept.c.group_name == group, kept.c.topic == topic)
        with self._engine.connect() as connection:
            found = connection.execute(
                select(kept.c.partition_number, kept.c.next_offset).where(*wanted)
            )
            return {row.partition_number: row.next_offset for row in found}

    def catch_up(self, topic: str, partition: int, handled_from: int | None = None) -> None:
        """Fold into stock and cost what the stages have not seen of a partition; see `Books`."""
        place = {"topic": topic, "partition": partition}
        try:
            with self._engine.begin() as connection:
                if not connection.execute(select(_stages).filter_by(**place)).first():
                    connection.execute(insert(_stages), place | {"next_offset": 0})
        except IntegrityError:
            pass  # another worker was quicker
        while self._step(place, handled_from):
            handled_from = None

    def take_over(self, topic: str, partition: int) -> None:
        """Do nothing: a killed worker leaves nothing open."""

    def _step(self, place: dict[str, Any], handled_from: int | None) -> bool:
        """Fold the next span of offsets; return whether there is more."""
        with self._engine.begin() as connection:
            # This changes nothing and locks the row: from here on one worker reads and writes.
            mine = update(_stages).filter_by(**place)
            connection.execute(mine.values(next_offset=_stages.c.next_offset))
            seen = connection.scalar(select(_stages.c.next_offset).filter_by(**place)) or 0
            of_place = _of(_ledger, **place)
            last = connection.scalar(select(func.max(_ledger.c.offset)).where(*of_place))
            span = Span.after(seen, last, handled_from)
            if span.empty:
                return False
            if span.anew:
                connection.execute(delete(_holdings).filter_by(**place))
            connection.execute(mine.values(next_offset=span.upto))
            of_span = (_ledger.c.offset >= span.first, _ledger.c.offset < span.upto)
            _fold(connection, list(_in_order(connection, _ledger, [*of_place, *of_span])), place)
            return span.more


def _of(rows: Table, topic: str, partition: int) -> list[ColumnElement[bool]]:
    return [rows.c.topic == topic, rows.c.partition == partition]


def _insert(session: Session, rows: Entries) -> None:
    if rows.ledger:
        session.execute(insert(_ledger), cast(list[dict[str, Any]], rows.ledger))
    if rows.payables:
        session.execute(insert(_payables), cast(list[dict[str, Any]], rows.payables))


def _in_order(
    connection: Connection, rows: Table, wanted: Sequence[ColumnElement[bool]]
) -> Iterator[Any]:
    ordered = select(rows).where(*wanted).order_by(rows.c.offset, rows.c.line)
    found = connection.execute(ordered.execution_options(yield_per=BATCH))
    yield from map(dict, found.mappings())


def _fold(connection: Connection, rows: list[LedgerRow], place: Mapping[str, Any]) -> None:
    derived = _read(connection, sorted({row["store"] for row in rows}))
    stored = set(derived.stock)
    derived.add(rows)
    known, new = [], []
    for key in sorted({(row["store"], row["item"]) for row in rows}):
        values = {
            "stock_quantity": derived.stock[key].quantity,
            **{f"cost_{name}": value for name, value in derived.cost[key]._asdict().items()},
        }
        if key in stored:
            known.append({"of_store": key[0], "of_item": key[1], **values})
        else:
            new.append({"store": key[0], "item": key[1], **place, **values})
    if known:
        of_holding = (
            _holdings.c.store == bindparam("of_store"),
            _holdings.c.item == bindparam("of_item"),
        )
        connection.execute(update(_holdings).where(*of_holding), known)
    if new:
        connection.execute(insert(_holdings), new)


def _read(connection: Connection, stores: Sequence[str]) -> Derived:
    """Return the holdings of `stores`; of all of them where none is named."""
    derived = Derived()
    wanted = [_holdings.c.store.in_(stores)] if stores else []
    for found in connection.execute(select(_holdings).where(*wanted)):
        key = (found.store, found.item)
        derived.stock[key] = Stock(found.stock_quantity)
        derived.cost[key] = Cost(found.cost_quantity, found.cost_value, found.cost_average)
    return derived
