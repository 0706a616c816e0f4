"""Writes as values, put together: consecutive ones of one statement are sent by one command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, overload

from sqlalchemy import Connection, Executable
from sqlalchemy.sql import ClauseElement

from eoconsumer.errors import HandlerMisuse
from eoconsumer.stores.sql.copying import copied, never_copy
from eoconsumer.stores.sql.plain import plain_text

Parameters: TypeAlias = Mapping[str, Any]
Write: TypeAlias = Executable | tuple[Executable, Parameters]


class Group(NamedTuple):
    """Consecutive writes of one statement; it has no parameters where it stood alone."""

    statement: Executable
    parameters: list[Parameters]

    def takes(self, statement: Executable, parameters: Parameters) -> bool:
        """Whether one more write belongs here: the same statement, with the same names."""
        return (
            bool(self.parameters)
            and _same(self.statement, statement)
            and parameters.keys() == self.parameters[0].keys()
        )

    def send(self, connection: Connection) -> None:
        """Send it: many by COPY, or by the driver's executemany."""
        parameters = self.parameters
        if len(parameters) == 1:
            connection.execute(self.statement, parameters[0])
        elif not parameters:
            connection.execute(self.statement)
        elif (plain := plain_text(self.statement, parameters[0], connection.dialect)) is None:
            connection.execute(self.statement, parameters)
        else:
            rows = plain.ordered(parameters)
            if not copied(connection, plain.text, rows):
                connection.exec_driver_sql(plain.text, rows)

    def never_copy(self, connection: Connection) -> None:
        """Send it by executemany from now on."""
        if self.parameters:
            plain = plain_text(self.statement, self.parameters[0], connection.dialect)
            if plain is not None:
                never_copy(connection, plain.text)

    @property
    def size(self) -> int:
        """How many writes it has."""
        return len(self.parameters) or 1


class Buffer(Sequence[Write]):
    """What handlers returned, in order, until it is sent.

    Most batches have one statement. A tuple for each message would live as long as the batch, and
    Python's garbage collector would visit it several times; of parameters with plain values it
    keeps away.
    """

    def __init__(self) -> None:
        """Hold nothing."""
        self.group: Group | None = None
        self._writes: list[Write] = []  # everything, where it is not all one statement

    def extend(self, writes: Sequence[Write]) -> None:
        """Hold ``writes`` behind what is here."""
        more = None if self._writes else _alike(writes)
        if more is not None and self.group is None:
            self.group = more
        elif more and self.group and self.group.takes(more.statement, more.parameters[0]):
            self.group.parameters.extend(more.parameters)
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
        statement, parameters = self.group
        if isinstance(part, int):
            return statement, parameters[part]
        return [(statement, each) for each in parameters[part]]


def grouped(writes: Sequence[Write]) -> list[Group]:
    """Put writes together that follow one another and differ in their parameters only."""
    alike = writes.group if isinstance(writes, Buffer) else _alike(writes)
    if alike is not None:
        return [alike]
    groups: list[Group] = []
    for write in writes:
        statement, parameters = _parts(write)
        if parameters is not None and groups and groups[-1].takes(statement, parameters):
            groups[-1].parameters.append(parameters)
        else:
            groups.append(Group(statement, [] if parameters is None else [parameters]))
    return groups


def before(groups: Sequence[Group], index: int) -> list[Group]:
    """Return the groups of the writes before ``index``."""
    found, left = [], index
    for group in groups:
        if left <= 0:
            break
        found.append(Group(group.statement, group.parameters[:left]))
        left -= group.size
    return found


def one_by_one(groups: Sequence[Group]) -> list[Group]:
    """Return one group for each write."""
    found: list[Group] = []
    for group in groups:
        found += [Group(group.statement, [each]) for each in group.parameters] or [group]
    return found


def _alike(writes: Sequence[Any]) -> Group | None:
    """Return ``writes`` as one group, where all are pairs of the very same statement."""
    if {*map(type, writes)} != {tuple} or {*map(len, writes)} != {2}:
        return None
    statement, parameters = writes[0][0], [write[1] for write in writes]
    same = len({id(write[0]) for write in writes}) == 1 and isinstance(statement, Executable)
    if not same or {*map(type, parameters)} != {dict} or len({*map(tuple, parameters)}) != 1:
        return None
    return Group(statement, parameters) if parameters[0] else None


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
