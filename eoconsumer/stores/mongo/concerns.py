"""What every read and write of the store asks of the server, whatever the URL says."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, TypeAlias, TypeVar

from bson.codec_options import CodecOptions
from pymongo import ReadPreference, WriteConcern
from pymongo.client_session_shared import TransactionOptions
from pymongo.read_concern import ReadConcern

Document: TypeAlias = dict[str, Any]
#: A database of any of the drivers.
D = TypeVar("D", bound=Any)

#: How long a write waits for the majority before the answer is "nobody knows yet".
MAJORITY_SECONDS = 10.0
#: How long a read of positions may take.
READ_SECONDS = 5.0


class Attempt:
    """One transaction of the consumer, as the tasks and threads know it that its handler starts."""

    over = False


#: The transaction that this thread or task is inside of, or was started in. It may be over.
inside: ContextVar[Attempt | None] = ContextVar("inside", default=None)


class Durable(WriteConcern):
    """Majority and journal; silent inside of a transaction, whose commit has its own.

    pymongo leaves a collection's write concern out where the session is passed to the call, but
    not where the session is bound; the server refuses it then.
    """

    @property
    def is_server_default(self) -> bool:
        """Whether to leave this out of a command."""
        return inside.get() is not None


DURABLE = Durable(w="majority", wtimeout=int(MAJORITY_SECONDS * 1000), j=True)
COMMITTED = ReadConcern("majority")

TRANSACTION = TransactionOptions(
    read_concern=ReadConcern("snapshot"),
    write_concern=WriteConcern(**DURABLE.document),
    read_preference=ReadPreference.PRIMARY,
)


def is_mock(client: object) -> bool:
    """Whether ``client`` is one of mongomock, which knows neither concerns nor transactions."""
    return type(client).__module__.partition(".")[0] == "mongomock"


def durable_database(database: D) -> D:
    """Return ``database`` with majority writes, majority reads, and the primary."""
    if is_mock(database.client):
        return database
    durable: D = database.with_options(
        read_preference=ReadPreference.PRIMARY, write_concern=DURABLE, read_concern=COMMITTED
    )
    return durable


def own_collection(database: Any, name: str) -> Any:
    """Return a collection of the store itself; the user's codec options do not apply to it."""
    if is_mock(database.client):
        return database[name]
    return database.get_collection(name, codec_options=CodecOptions())
