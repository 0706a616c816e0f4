"""What the store uses of a driver: PyMongo, PyMongo Async, or motor. Each call may be awaitable."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeAlias, TypeVar

from pymongo.results import BulkWriteResult, DeleteResult

from eoconsumer.stores.mongo.concerns import Document
from eoconsumer.stores.mongo.guard import Guard
from eoconsumer.stores.twins import answer

T = TypeVar("T")
Answer: TypeAlias = Awaitable[T] | T


class AnyCollection(Protocol):
    """A collection of any of the drivers."""

    @property
    def name(self) -> str:
        """Its name in the database."""

    @property
    def full_name(self) -> str:
        """Its name, behind that of the database."""

    @property
    def database(self) -> Any:
        """The database that it is in."""

    def find(self, *args: Any, **kwargs: Any) -> Any:
        """Return a cursor, whose ``to_list`` reads all of it."""

    def find_one(self, *args: Any, **kwargs: Any) -> Answer[Document | None]:
        """Read one document."""

    def bulk_write(self, *args: Any, **kwargs: Any) -> Answer[BulkWriteResult]:
        """Do many writes in one command."""

    def insert_many(self, *args: Any, **kwargs: Any) -> Answer[Any]:
        """Insert documents in one command."""

    def update_one(self, *args: Any, **kwargs: Any) -> Answer[Any]:
        """Update one document."""

    def delete_one(self, *args: Any, **kwargs: Any) -> Answer[DeleteResult]:
        """Delete one document."""


class OwnSession(Protocol):
    """A reader's session, of any of the drivers, as the store sees it."""

    guard: Guard

    @property
    def session_id(self) -> Mapping[str, Any]:
        """What the server knows it by."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open on it."""

    def begin_ours(self) -> Awaitable[None] | None:
        """Begin the consumer's transaction."""

    def leave_ours(self) -> Awaitable[None] | None:
        """Let writes without ``session=`` be outside again."""

    def commit_ours(self) -> Awaitable[None] | None:
        """Commit the consumer's transaction."""

    def abort_ours(self) -> Awaitable[None] | None:
        """Roll the consumer's transaction back."""

    def end_ours(self) -> Awaitable[None] | None:
        """End the session."""


@asynccontextmanager
async def outside(client: Any) -> AsyncIterator[Any]:
    """Open a session of one's own, for what must not be in the reader's transaction."""
    session = await answer(client.start_session())
    try:
        yield session
    finally:
        await answer(session.end_session())
