"""Sends what handlers returned, in as few round trips as the server allows.

In a transaction inserts go out as one plain ``insert`` command a collection: ``insert_many`` makes
a key for each document on the client, which takes as long as all the rest. Outside of one, the
driver's own bulk writes are used: they are sent again after a lost connection.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import bson
from bson.codec_options import CodecOptions
from pymongo import InsertOne
from pymongo.errors import BulkWriteError, DocumentTooLarge, InvalidName, WriteError

from eoconsumer.errors import EOConsumerError, StoreError, TransientStoreError, WriteFailed
from eoconsumer.stores.mongo.concerns import Document, durable_database
from eoconsumer.stores.mongo.driver import OwnSession
from eoconsumer.stores.mongo.operations import Part, Place, inserted, planned
from eoconsumer.stores.mongo.translation import is_transient, summary, transient
from eoconsumer.stores.twins import answer

#: What one command may have (maxWriteBatchSize, maxBsonObjectSize): the same on all servers.
MOST_DOCUMENTS = 100_000
MOST_BYTES = 16 * 1024 * 1024
#: About how many documents are measured to see how many fit into a command, how far they are apart
#: at least (of few documents the first and the last tell enough), and how full a command gets.
SAMPLES = 8
APART = 16
FULL = MOST_BYTES // 2
#: How many collections are kept at hand.
KNOWN = 100


class Writes:
    """Writes of handlers, on the session of one reader."""

    def __init__(self, database: Any, session: OwnSession) -> None:
        """``database`` is the store's; its settings are those of other databases as well."""
        self._database = database
        self._session = session
        self._collection = lru_cache(KNOWN)(self._opened)
        self._exact = False  # whether to measure every document of the next batch

    async def send(self, writes: Sequence[Any]) -> None:
        """Send ``writes`` in the open transaction, or on their own; see the protocol."""
        inside = self._session.in_transaction
        places = planned(writes, self._database.name, inside=inside)
        for place, parts in places.items():
            try:
                collection = self._collection(place)
            except InvalidName as error:  # of a name that a handler has made of a message
                raise WriteFailed(parts[0].indexes[0]) from error
            for part in parts:
                if inside and part.documents:
                    await self._insert(collection, part)
                else:
                    in_order = len(places) == 1
                    await self._bulk(collection, _as_operations(part), in_order=in_order)
        self._exact = False

    def _opened(self, place: Place) -> Any:
        database = self._database
        if place.database != database.name:
            other = database.client.get_database(place.database, database.codec_options)
            database = durable_database(other)
        return database[place.collection]

    async def _insert(self, collection: Any, part: Part) -> None:
        """Insert by plain commands; their replies tell errors of single documents, nothing else."""
        first = 0
        for count in self._counts(part.documents, collection.codec_options):
            documents = part.documents[first : first + count]
            try:
                reply = await answer(
                    collection.database.command(
                        {"insert": collection.name, "documents": documents},
                        session=self._session,
                        codec_options=collection.codec_options,
                    )
                )
            except EOConsumerError:
                raise
            except Exception as error:  # also what a codec of the user's raises
                raise self._told(error, part, collection.codec_options) from error
            if reply.get("writeErrors"):
                failed = reply["writeErrors"][0]
                raise WriteFailed(part.indexes[first + failed["index"]]) from WriteError(
                    failed["errmsg"], failed["code"], failed
                )
            if reply["n"] != count:
                raise StoreError(
                    f"MongoDB inserted {reply['n']} of {count} documents and named no error; the "
                    "batch was rolled back."
                )
            first += count

    async def _bulk(self, collection: Any, part: Part, *, in_order: bool) -> None:
        """Send a bulk write; ``in_order``: all writes before it were sent before it."""
        try:
            await answer(collection.bulk_write(part.operations, session=self._session))
        except BulkWriteError as error:
            failed = error.details.get("writeErrors")
            if is_transient(error) or not failed:
                raise transient(error) from error
            index = part.indexes[failed[0]["index"]]
            raise WriteFailed(index, before_are_done=in_order) from error
        except EOConsumerError:
            raise
        except Exception as error:  # also what a codec of the user's raises
            raise self._told(error, part, collection.codec_options) from error

    def _told(self, error: Exception, part: Part, options: CodecOptions[Any]) -> Exception:
        """Return what ``error`` of a whole command means, and for which write."""
        if is_transient(error):
            return transient(error)
        documents = part.documents or inserted(part.operations)
        for index, document in zip(part.indexes, documents, strict=False):
            if not 0 < _size(document, options) <= MOST_BYTES:
                return WriteFailed(index)
        if isinstance(error, DocumentTooLarge) and len(part.documents) > 1:
            # The samples were small and others were not. The driver takes the transaction for
            # begun and the server knows nothing of it, so all of it is done again, measured.
            self._exact = True
            return TransientStoreError(
                f"The documents of one command were too large together: {summary(error)}"
            )
        return WriteFailed(part.indexes[0] if len(part.indexes) == 1 else None)

    def _counts(self, documents: Sequence[Document], options: CodecOptions[Any]) -> list[int]:
        """Return how many documents go into each command."""
        if not self._exact:
            step = max(APART, len(documents) // SAMPLES)
            samples = [*documents[::step], documents[-1]]
            largest = max(_size(document, options) for document in samples)
            count = min(MOST_DOCUMENTS, max(1, FULL // max(1, largest)))
            whole, rest = divmod(len(documents), count)
            return [count] * whole + [rest] * bool(rest)
        counts, size = [0], 0
        for document in documents:
            size += (length := _size(document, options))
            if counts[-1] and (size > FULL or counts[-1] == MOST_DOCUMENTS):
                counts.append(0)
                size = length
            counts[-1] += 1
        return counts


def _size(document: Document, options: CodecOptions[Any]) -> int:
    """Return how many bytes ``document`` has; 0 for one that cannot be sent."""
    try:
        return len(bson.encode(document, codec_options=options))
    except Exception:  # whatever a user's own codec raises
        return 0


def _as_operations(part: Part) -> Part:
    """Return inserts for a bulk write, of copies: it adds a key to each document that it gets."""
    if not part.documents:
        return part
    copies = [InsertOne({**d} if type(d) is dict else d) for d in part.documents]
    return Part(part.indexes, [], [*copies])
