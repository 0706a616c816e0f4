"""Writes as values, put together: consecutive ones of one statement are sent by one command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, overload

from sqlalchemy import Connection, Executable
from sqlalchemy.sql import ClauseElement

from eoconsumer.errors import HandlerMisuse
from eoconsumer.stores.sql.copying import copied, never_copy
from eoconsumer.stores.sql.multirow import inserted
from eoconsumer.stores.sql.plain import Row, plain_text, rows_of

Parameters: TypeAlias = Mapping[str, Any]
Write: TypeAlias = Executable | tuple[Executable, Parameters]


class Group(NamedTuple):
    """Writes of one statement; of their parameters the values, in the order of ``names``.

    It has no ``rows`` where the statement has no parameters.
    """

    statement: Executable
    names: tuple[str, ...]
    rows: list[Row]

    def takes(self, statement: Executable, parameters: Parameters) -> bool:
        """Whether one more write belongs here: the same statement, with the same names."""
        return (
            bool(self.rows)
            and _same(self.statement, statement)
            and parameters.keys() == {*self.names}
        )

    @property
    def parameters(self) -> list[Parameters]:
        """The parameters, as they were given."""
        return [dict(zip(self.names, row)) for row in self.rows]  # noqa: B905 - as it was made

    def send(self, connection: Connection) -> None:
        """Send it: many in the quickest way that comes to the same."""
        if not self.rows:
            connection.execute(self.statement)
        elif len(self.rows) == 1:
            connection.execute(self.statement, self.parameters[0])
        elif (plain := plain_text(self.statement, self.names, connection.dialect)) is None:
            connection.execute(self.statement, self.parameters)
        else:
            rows = plain.ordered(self.names, self.rows)
            if not any(way(connection, plain.text, rows) for way in (copied, inserted)):
                connection.exec_driver_sql(plain.text, rows)

    def never_copy(self, connection: Connection) -> None:
        """Send it by executemany from now on."""
        plain = plain_text(self.statement, self.names, connection.dialect)
        if plain is not None:
            never_copy(connection, plain.text)

    @property
    def size(self) -> int:
        """How many writes it has."""
        return len(self.rows) or 1


class Buffer(Sequence[Write]):
    """What handlers returned, in order, until it is sent.

    Most batches have one statement. A tuple and a dictionary for each message would live as long as
    the batch, and Python's garbage collector would visit them several times; of rows of plain
    values it keeps away.
    """

    def __init__(self) -> None:
        """Hold nothing."""
        self.group: Group | None = None
        self._writes: list[Write] = []  # everything, where it is not all one statement

    def extend(self, writes: Sequence[Write]) -> None:
        """Hold ``writes`` behind what is here."""
        held = self.group
        more = None if self._writes else _alike(writes, held.names if held else ())
        if more and not held:
            self.group = more
        elif more and held and _same(held.statement, more.statement) and held.names == more.names:
            held.rows.extend(more.rows)
        else:
            self._writes = self._writes or list(self[:])
            self._writes.extend(writes)
            self.group = None

    def __len__(self) -> int:
        """Count the writes."""
        return len(self._writes) if self.group is None else self.group.size

    @overload
    def __getitem__(self, part: int) -> Write: ...
    @overload
    def __getitem__(self, part: slice) -> Sequence[Write]: ...
    def __getitem__(self, part: int | slice) -> Write | Sequence[Write]:
        """Return one of them, or some."""
        if self.group is None:
            return self._writes[part]
        statement, names, rows = self.group
        if isinstance(part, int):
            return statement, Group(statement, names, [rows[part]]).parameters[0]
        some = Group(statement, names, rows[part])
        return [(statement, parameters) for parameters in some.parameters]


def grouped(writes: Sequence[Write]) -> list[Group]:
    """Put writes together that follow one another and differ in their parameters only."""
    alike = writes.group if isinstance(writes, Buffer) else _alike(writes)
    if alike is not None:
        return [alike]
    groups: list[Group] = []
    for write in writes:
        statement, parameters = _parts(write)
        if parameters is None:
            groups.append(Group(statement, (), []))
            continue
        if not groups or not groups[-1].takes(statement, parameters):
            groups.append(Group(statement, tuple(parameters), []))
        groups[-1].rows.append(tuple([parameters[name] for name in groups[-1].names]))
    return groups


def before(groups: Sequence[Group], index: int) -> list[Group]:
    """Return the groups of the writes before ``index``."""
    found, left = [], index
    for group in groups:
        if left <= 0:
            break
        found.append(group._replace(rows=group.rows[:left]))
        left -= group.size
    return found


def one_by_one(groups: Sequence[Group]) -> list[Group]:
    """Return one group for each write."""
    found: list[Group] = []
    for group in groups:
        found += [group._replace(rows=[row]) for row in group.rows] or [group]
    return found


def _alike(writes: Sequence[Any], names: tuple[str, ...] = ()) -> Group | None:
    """Return ``writes`` as one group, where all are pairs of the very same statement.

    Their values come in the order of ``names``, where those are their names. What is asked here is
    asked of all at once: for each write on its own it would take longer than its handler.
    """
    if {*map(type, writes)} != {tuple} or {*map(len, writes)} != {2}:
        return None
    statement = writes[0][0]
    parameters = [each for one, each in writes if one is statement]
    if len(parameters) < len(writes) or not isinstance(statement, Executable):
        return None
    first = parameters[0]
    if {*map(type, parameters)} != {dict} or {*map(len, parameters)} != {len(first)} or not first:
        return None
    if first.keys() != {*names}:
        names = tuple(first)
    try:
        return Group(statement, names, rows_of(names, parameters))
    except KeyError:  # as many, and other ones
        return None


def _parts(write: object) -> tuple[Executable, Parameters | None]:
    if isinstance(write, Executable):
        return write, None
    if isinstance(write, tuple) and len(write) == 2:
        statement, parameters = write
        if isinstance(statement, Executable) and isinstance(parameters, Mapping):
            return statement, parameters
    raise HandlerMisuse(
        f"The handler returned {type(write).__name__}, which is no write of a SQL store; nothing "
        "was written. A write is a statement of SQLAlchemy, or a tuple (statement, parameters): "
        "yield it, or return a list of them. SQL as text goes into text()."
    )


def _same(one: Executable, other: Executable) -> bool:
    if one is other:
        return True
    return (
        isinstance(one, ClauseElement) and isinstance(other, ClauseElement) and one.compare(other)
    )
