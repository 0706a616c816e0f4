"""Writes as values: statements with parameters, sent together where they follow one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import Connection, Executable
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql import ClauseElement

from eoconsumer.errors import HandlerMisuse, WriteFailed
from eoconsumer.stores.sql.connection import ReaderConnection
from eoconsumer.stores.sql.plain import plain_text
from eoconsumer.stores.sql.translation import Kind, kind_of, transient

SAVEPOINT = "eoconsumer_writes"

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
        """Send it: many by the driver's executemany."""
        parameters = self.parameters
        if len(parameters) == 1:
            connection.execute(self.statement, parameters[0])
        elif not parameters:
            connection.execute(self.statement)
        elif (plain := plain_text(self.statement, parameters[0], connection.dialect)) is None:
            connection.execute(self.statement, parameters)
        else:
            connection.exec_driver_sql(plain.text, plain.ordered(parameters))

    @property
    def size(self) -> int:
        """How many writes it has."""
        return len(self.parameters) or 1


def send(reader: ReaderConnection, writes: Sequence[Write]) -> None:
    """Send ``writes`` in their order, inside the open transaction or in one of their own.

    Raises ``WriteFailed``; in a transaction of their own the writes before it are committed then.
    """
    groups = grouped(writes)
    if not groups:
        return
    if reader.guard.watching:
        reader.guard.check()
        _send(reader, reader.live, groups, keep=False)
        return
    reader.begin()
    reader.guard.watching = False  # these are statements of ours
    try:
        _send(reader, reader.live, groups, keep=True)
    except BaseException:
        reader.roll_back()
        raise
    _commit(reader)


def grouped(writes: Sequence[Write]) -> list[Group]:
    """Put writes together that follow one another and differ in their parameters only."""
    groups: list[Group] = []
    last: Group | None = None
    for write in writes:
        if (
            type(write) is tuple
            and len(write) == 2
            and type(write[1]) is dict
            and last is not None
            and write[0] is last.statement
            and last.parameters
            and write[1].keys() == last.parameters[0].keys()
        ):
            last.parameters.append(write[1])  # most of them
            continue
        statement, parameters = _parts(write)
        if parameters is not None and last is not None and last.takes(statement, parameters):
            last.parameters.append(parameters)
        else:
            last = Group(statement, [] if parameters is None else [parameters])
            groups.append(last)
    return groups


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


def _send(
    reader: ReaderConnection, connection: Connection, groups: Sequence[Group], *, keep: bool
) -> None:
    """Send the groups; find out which write failed by sending them again, one by one."""
    sent = 0
    # Without it a failed executemany could not be looked into.
    connection.exec_driver_sql(f"SAVEPOINT {SAVEPOINT}")
    try:
        for group in groups:
            group.send(connection)
            sent += group.size
    except SQLAlchemyError as error:
        if kind_of(error) is not Kind.DATA:
            raise transient(error) from error
        doomed, reader.guard.watching = reader.guard.watching, False
        try:
            index = _culprit(connection, groups, sent)
            if keep and index is not None:
                _restart(connection)
                for group in _before(groups, index):
                    group.send(connection)
        finally:
            reader.guard.watching = doomed
        if keep and index is not None:
            _commit(reader)
        raise WriteFailed(index, before_are_done=keep and index is not None) from error


def _culprit(connection: Connection, groups: Sequence[Group], sent: int) -> int | None:
    """Return the index of the write that fails, behind the ``sent`` ones that did not."""
    try:
        _restart(connection)
        for group in _before(groups, sent):
            group.send(connection)
        index, rest = sent, _split(groups)[sent:]
        for group in rest:
            try:
                group.send(connection)
            except SQLAlchemyError as error:
                return index if kind_of(error) is Kind.DATA else None
            index += 1
    except SQLAlchemyError:  # it was not the data alone
        return None
    return None


def _restart(connection: Connection) -> None:
    connection.exec_driver_sql(f"ROLLBACK TO SAVEPOINT {SAVEPOINT}")


def _split(groups: Sequence[Group]) -> list[Group]:
    """Return one group for each write."""
    found: list[Group] = []
    for group in groups:
        found += [Group(group.statement, [each]) for each in group.parameters] or [group]
    return found


def _before(groups: Sequence[Group], index: int) -> list[Group]:
    """Return the groups of the writes before ``index``."""
    found, left = [], index
    for group in groups:
        if left <= 0:
            break
        found.append(Group(group.statement, group.parameters[:left]))
        left -= group.size
    return found


def _commit(reader: ReaderConnection) -> None:
    try:
        reader.live.commit()
    except SQLAlchemyError as error:
        reader.roll_back()
        if kind_of(error) is not Kind.DATA:
            raise transient(error) from error
        raise WriteFailed(None) from error  # a constraint that is checked at the commit


def _same(one: Executable, other: Executable) -> bool:
    if one is other:
        return True
    return (
        isinstance(one, ClauseElement) and isinstance(other, ClauseElement) and one.compare(other)
    )
