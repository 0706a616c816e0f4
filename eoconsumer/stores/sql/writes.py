"""Sends writes as values, and finds out which of them was refused."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from eoconsumer.errors import EOConsumerError, WriteFailed
from eoconsumer.stores.sql.connection import ReaderConnection
from eoconsumer.stores.sql.groups import Group, Write, before, grouped, one_by_one
from eoconsumer.stores.sql.translation import Kind, kind_of, transient

SAVEPOINT = "eoconsumer_writes"


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


def _send(
    reader: ReaderConnection, connection: Connection, groups: Sequence[Group], *, keep: bool
) -> None:
    """Send the groups; find out which write failed by sending them again, one by one."""
    sent = 0
    try:
        # Without it a failed executemany could not be looked into.
        connection.exec_driver_sql(f"SAVEPOINT {SAVEPOINT}")
        for group in groups:
            group.send(connection)
            sent += group.size
    except EOConsumerError:
        raise
    except Exception as error:  # drivers let out what they cannot send: UnicodeEncodeError, ...
        if kind_of(error) is not Kind.DATA:
            raise transient(error) from error
        doomed, reader.guard.watching = reader.guard.watching, False
        try:
            index = _culprit(connection, groups, sent)
            if keep and index is not None:
                _restart(connection)
                for group in before(groups, index):
                    group.send(connection)
        finally:
            reader.guard.watching = doomed
        if index == sum(group.size for group in groups):  # they are there now
            reader.guard.forgive()
            return
        if keep and index is not None:
            _commit(reader)
        raise WriteFailed(index, before_are_done=keep and index is not None) from error


def _culprit(connection: Connection, groups: Sequence[Group], sent: int) -> int | None:
    """Return the index of the write that fails, behind the ``sent`` ones that did not.

    One behind the last, where one by one all are taken: then it was the way they were sent.
    """
    try:
        _restart(connection)
        for group in before(groups, sent):
            group.send(connection)
        index, rest = sent, one_by_one(groups)[sent:]
        for group in rest:
            try:
                group.send(connection)
            except Exception as error:
                return index if kind_of(error) is Kind.DATA else None
            index += 1
    except SQLAlchemyError:  # it was not the data alone
        return None
    for group in groups:
        group.never_copy(connection)
    return index


def _restart(connection: Connection) -> None:
    connection.exec_driver_sql(f"ROLLBACK TO SAVEPOINT {SAVEPOINT}")


def _commit(reader: ReaderConnection) -> None:
    try:
        reader.live.commit()
    except SQLAlchemyError as error:
        reader.roll_back()
        if kind_of(error) is not Kind.DATA:
            raise transient(error) from error
        raise WriteFailed(None) from error  # a constraint that is checked at the commit
