"""Watches a transaction on its connection: what failed in it, even if nobody was told.

A handler that swallows an error would commit half of its writes: MariaDB, MySQL and SQLite go on
after a failed statement, and after a deadlock MariaDB goes on in *another* transaction. So after
the first error nothing more is sent, unless a savepoint was there for it and is rolled back to.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import Session

from eoconsumer.errors import HandlerMisuse, StoreError
from eoconsumer.stores.sql.translation import Kind, kind_of, summary, transient

#: What ends a transaction, or begins another: in the handler's statements it is refused.
ENDS = re.compile(
    r"\s*(COMMIT|END|ABORT|BEGIN|START\s+TRANSACTION|PREPARE\s+TRANSACTION"
    r"|ROLLBACK(?!\s+(WORK\s+|TRANSACTION\s+)?TO))\b",
    re.IGNORECASE,
)
#: What MariaDB and MySQL end a transaction for, without a word.
ENDS_IMPLICITLY = re.compile(
    r"\s*((ALTER|CREATE|DROP)(?!\s+TEMPORARY)|TRUNCATE|RENAME|GRANT|REVOKE|LOCK|UNLOCK|OPTIMIZE"
    r"|ANALYZE|REPAIR|FLUSH|SET\s+(@@)?(SESSION\s+|SESSION\.)?AUTOCOMMIT)\b",
    re.IGNORECASE,
)

SAVEPOINT = re.compile(r"\s*SAVEPOINT\s+(\S+)", re.IGNORECASE)
ROLLBACK_TO = re.compile(
    r"\s*ROLLBACK\s+(?:(?:WORK|TRANSACTION)\s+)?TO\s+(?:SAVEPOINT\s+)?(\S+)", re.IGNORECASE
)

_guards: WeakKeyDictionary[Connection, Guard] = WeakKeyDictionary()
_heard: WeakSet[Engine] = WeakSet()


class Guard:
    """What happened in one transaction; the first trouble counts, later ones follow from it."""

    def __init__(self, *, implicit: bool) -> None:
        """Watch nothing yet; ``implicit``: whether DDL ends a transaction here."""
        self.watching = False
        self.trouble: StoreError | HandlerMisuse | None = None
        self._ends = (ENDS, ENDS_IMPLICITLY) if implicit else (ENDS,)
        self._savepoints: list[str] = []
        self._inside: str | None = None  # the savepoint in which the trouble happened

    def listen(self, connection: Connection) -> None:
        """Hear of all that happens on ``connection``."""
        _guards[connection] = self
        event.listen(connection, "before_cursor_execute", self._sends)
        event.listen(connection, "commit", self._commits)
        event.listen(connection, "rollback", self._rolls_back)

    def watch(self) -> None:
        """Begin with a clean slate."""
        self.watching, self.trouble, self._inside = True, None, None
        self._savepoints.clear()

    def check(self) -> None:
        """Raise the first trouble of this transaction, if there was any."""
        if self.trouble is not None:
            raise self.trouble

    def forgive(self) -> None:
        """Forget the trouble: what failed was done in another way, behind a savepoint of ours."""
        self.trouble, self._inside = None, None

    def doom(self, trouble: StoreError | HandlerMisuse) -> None:
        """Never let this transaction commit."""
        if self.watching and self.trouble is None:
            self.trouble = trouble
            self._inside = None

    def failed(self, error: BaseException) -> None:
        """Note an error of the database."""
        if not self.watching:
            return
        kind = kind_of(error)
        survived = kind in (Kind.DATA, Kind.BLOCKED, Kind.TOO_LONG)  # with its savepoints
        if self.trouble is None:
            self.trouble = _swallowed(error) if kind is Kind.DATA else transient(error)
            self._inside = self._savepoints[-1] if survived and self._savepoints else None
        elif not survived:
            # One that another follows from, as well: the transaction is gone, savepoints and all.
            self.trouble, self._inside = transient(error), None

    def refuse(self, what: str) -> NoReturn:
        """Raise at once what the handler must not do with its session."""
        misuse = HandlerMisuse(
            f"The handler called {what}. The transaction belongs to the consumer, which commits it "
            "after the handler, together with the offset; this batch was rolled back and is not "
            "tried again. Take that out of the handler; session.begin_nested() makes a savepoint."
        )
        self.doom(misuse)
        raise misuse

    def _sends(self, _: Connection, __: Any, statement: str, *___: Any) -> None:
        if not self.watching:
            return
        if back := ROLLBACK_TO.match(statement):
            self._restore(back[1])
        if self.trouble is not None:
            raise self.trouble
        if any(ending.match(statement) for ending in self._ends):
            self.refuse(f"{statement.split()[0].upper()}, which ends the transaction")
        if saved := SAVEPOINT.match(statement):
            self._savepoints.append(saved[1])

    def _commits(self, _: Connection) -> None:
        if self.watching:
            self.refuse("commit()")

    def _rolls_back(self, _: Connection) -> None:
        self.doom(
            HandlerMisuse(
                "The handler, or a flush that failed in it, rolled the transaction back, and the "
                "handler went on. This batch is not tried again; let the error leave the handler."
            )
        )

    def _restore(self, name: str) -> None:
        """Forget an error that the transaction survived behind the savepoint ``name``."""
        if name not in self._savepoints:
            return
        place = len(self._savepoints) - 1 - self._savepoints[::-1].index(name)
        if self._inside in self._savepoints[place:]:
            self.trouble, self._inside = None, None
        del self._savepoints[place + 1 :]  # it is still there itself


class ReaderSession(Session):
    """A session of SQLAlchemy, used like any other, that will not be ended by a handler."""

    def __init__(self, connection: Callable[[], Connection], guard: Guard) -> None:
        """Work on what ``connection`` returns, from the first statement on."""
        super().__init__()
        self._connect = connection
        self._guard = guard

    def get_bind(self, *_: Any, **__: Any) -> Connection:
        """Return the connection, whatever is asked of it."""
        return self._connect()

    def commit(self) -> None:
        """Refused inside of the consumer's transaction."""
        if self._guard.watching:
            self._guard.refuse("session.commit()")
        super().commit()

    def rollback(self) -> None:
        """Refused inside of the consumer's transaction."""
        if self._guard.watching:
            self._guard.refuse("session.rollback()")
        super().rollback()

    def close(self) -> None:
        """Refused inside of the consumer's transaction."""
        if self._guard.watching:
            self._guard.refuse("session.close()")
        super().close()


def hear_errors(engine: Engine) -> None:
    """Let the guards hear of the errors of ``engine``'s connections."""
    # Not event.contains: it goes by id(), which an engine that is gone may have had.
    if engine not in _heard:
        _heard.add(engine)
        event.listen(engine, "handle_error", _note)
        if engine.dialect.name == "sqlite":
            event.listen(engine, "invalidate", _let_go)


def _let_go(connection: DBAPIConnection, *_: Any) -> None:
    """Roll back before SQLite's connection is closed, which would keep the lock.

    1. A task is cancelled in a statement, 2. SQLAlchemy closes its connection, which for SQLite
    stays open, transaction and all, as long as somebody has a cursor of it: the cancellation does.
    """
    with suppress(Exception):
        connection.rollback()


def _note(context: ExceptionContext) -> None:
    guard = _guards.get(context.connection) if context.connection is not None else None
    if guard is not None:
        guard.failed(context.sqlalchemy_exception or context.original_exception)


def _swallowed(error: BaseException) -> HandlerMisuse:
    misuse = HandlerMisuse(
        f"The database refused a statement ({summary(error)}), and the handler went on as if "
        "nothing had happened. Such a transaction cannot be committed: it was rolled back and is "
        "not tried again. Let the error leave the handler, or put the statement into "
        "session.begin_nested()."
    )
    misuse.__cause__ = error
    return misuse
