"""What stands for a ``MongoStore`` on a mongomock client in unit tests: ``feed`` uses it.

mongomock has no transactions and no sessions. Here the collections are copied when a transaction
begins, and put back when it is aborted; that serves one thread, and nobody else. Positions and dead
letters are kept beside, in memory, since mongomock does not know the commands that write them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, NoReturn
from weakref import WeakKeyDictionary

from mongomock import Collection, MongoClient

from eoconsumer.core.positions import Move
from eoconsumer.errors import WriteFailed
from eoconsumer.stores.memory import MemoryStore, MemoryStoreSession, MemoryTransaction
from eoconsumer.stores.mongo import MongoStore
from eoconsumer.stores.mongo.concerns import Document
from eoconsumer.stores.mongo.guard import Guard, swallowed
from eoconsumer.stores.mongo.operations import as_call, by_place
from eoconsumer.stores.mongo.translation import culprit

#: What a handler may do with a collection, and be told an error by.
OPERATIONS = (
    "aggregate", "bulk_write", "count_documents", "delete_many", "delete_one", "distinct", "find",
    "find_one", "find_one_and_delete", "find_one_and_replace", "find_one_and_update", "insert_many",
    "insert_one", "replace_one", "update_many", "update_one",
)  # fmt: skip

Contents = dict[tuple[str, str], list[Document]]

# The positions of a store live as long as it does, so that a second feed goes on behind the first.
_stores: WeakKeyDictionary[MongoStore, MockedStore] = WeakKeyDictionary()


def mocked(store: MongoStore) -> MockedStore:
    """Return what stands for ``store``, always the same."""
    return _stores.setdefault(store, MockedStore(store.client, store.database.name))


class MockedSession:
    """What a handler gets as its session: it belongs to the consumer, as in production."""

    def __init__(self, client: MongoClient[Document]) -> None:
        """Be in no transaction."""
        self.client = client
        self.guard = Guard()

    @property
    def in_transaction(self) -> bool:
        """Whether the consumer's transaction is open."""
        return self.guard.watching

    def start_transaction(self, *_: object, **__: object) -> NoReturn:
        """Refused, as are the three below."""
        self._refuse("start_transaction")

    def with_transaction(self, *_: object, **__: object) -> NoReturn:
        """Refused."""
        self._refuse("with_transaction")

    def commit_transaction(self) -> NoReturn:
        """Refused."""
        self._refuse("commit_transaction")

    def abort_transaction(self) -> NoReturn:
        """Refused."""
        self._refuse("abort_transaction")

    def end_session(self) -> NoReturn:
        """Refused."""
        self._refuse("end_session")

    def _refuse(self, what: str) -> NoReturn:
        if self.in_transaction:
            self.guard.refuse(what)
        raise NotImplementedError(f"mongomock has no transactions: there is no {what}.")

    def __bool__(self) -> bool:
        """Be false: mongomock raises ``NotImplementedError`` for a session that is true."""
        return False


class MockedStore(MemoryStore):
    """Positions and letters in memory, the handler's writes in a mongomock client."""

    def __init__(self, client: MongoClient[Document], database: str) -> None:
        """Start empty; ``database`` is that of the store whose client it is."""
        super().__init__()
        self.client = client
        self.database = database

    def open(self, group: str, owner: str) -> MemoryStoreSession:
        """Open a session for one reader."""
        return _Session(self, group, owner)


class _Session(MemoryStoreSession):
    def __init__(self, store: MockedStore, group: str, owner: str) -> None:
        super().__init__(store, group, owner)
        self.session: Any = MockedSession(store.client)
        self._database = store.database

    def transaction(self) -> MemoryTransaction:
        return _Transaction(self._store, self._group, self.session, self._database)

    def write(self, writes: Sequence[Any]) -> None:
        _write(self.session.client, self._database, writes)

    def culprit(self, error: BaseException, messages: int) -> int | None:
        return culprit(error, messages)


class _Transaction(MemoryTransaction):
    def __init__(
        self, store: MemoryStore, group: str, session: MockedSession, database: str
    ) -> None:
        super().__init__(store, group)
        self._database = database
        self.session: Any = session
        self._guard = session.guard
        self._guard.watch()
        self._before = _contents(session.client)
        self._watching = ExitStack()
        self._watching.enter_context(_watched(self._noted))

    def write(self, writes: Sequence[Any]) -> None:
        _write(self.session.client, self._database, writes)

    def advance(self, moves: Sequence[Move]) -> None:
        self._guard.check()
        super().advance(moves)

    def commit(self) -> None:
        self._guard.check()
        super().commit()
        self._leave()

    def abort(self) -> None:
        if self._guard.watching:
            self._leave()
            _restore(self.session.client, self._before)
        super().abort()

    def _noted(self, name: str, error: Exception) -> None:
        self._guard.doom(swallowed(f"{name}() raised {type(error).__name__}"))

    def _leave(self) -> None:
        self._guard.watching = False
        self._watching.close()


def _write(client: MongoClient[Document], database: str, writes: Sequence[Any]) -> None:
    """Do what a handler returned, one by one."""
    for place, indexes in by_place(writes, database).items():
        for index in indexes:
            name, given, options = as_call(writes[index])
            try:
                getattr(client[place.database][place.collection], name)(*given, **options)
            except Exception as error:
                raise WriteFailed(index) from error


def _contents(client: MongoClient[Document]) -> Contents:
    """Return a copy of all documents: a transaction spans the databases of a client."""
    return {
        (database, name): list(client[database][name].find())
        for database in client.list_database_names()
        for name in client[database].list_collection_names()
    }


def _restore(client: MongoClient[Document], before: Contents) -> None:
    """Put all documents back; indexes stay, and collections that are new go."""
    for database, name in {*_contents(client), *before}:
        if (database, name) in before:
            collection = client[database][name]
            collection.delete_many({})
            if before[database, name]:
                collection.insert_many(before[database, name])
        else:
            client[database].drop_collection(name)


@contextmanager
def _watched(noted: Callable[[str, Exception], None]) -> Iterator[None]:
    """Call ``noted`` for what a collection's method raises, even if nobody lets it out."""
    depth = 0  # mongomock calls its own methods, and may well handle what they raise

    def watched(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal depth
            depth += 1
            try:
                return method(*args, **kwargs)
            except Exception as error:
                if depth == 1:
                    noted(name, error)
                raise
            finally:
                depth -= 1

        return call

    before = {name: getattr(Collection, name) for name in OPERATIONS}
    for name, method in before.items():
        setattr(Collection, name, watched(name, method))
    try:
        yield
    finally:
        for name, method in before.items():
            setattr(Collection, name, method)
