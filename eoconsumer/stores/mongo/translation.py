"""Errors of pymongo, told in our words: is another try asked for, or is it the data's fault?

Decided by the labels that server and driver attach, found through the chain of causes.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sized
from contextlib import contextmanager
from traceback import walk_tb

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.collection import Collection
from pymongo.errors import (
    BulkWriteError,
    ClientBulkWriteException,
    ConnectionFailure,
    DocumentTooLarge,
    EncryptionError,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)

from eoconsumer.errors import EOConsumerError, StoreError, TransientStoreError
from eoconsumer.stores.causes import asks_again, causes

IN_DOUBT = "UnknownTransactionCommitResult"
TRANSIENT = "TransientTransactionError"
LABELS = (TRANSIENT, IN_DOUBT, "RetryableWriteError")

DUPLICATE_KEY = 11000
UNAUTHORIZED = 13
OUT_OF_TIME = 50
WRITE_CONFLICT = 112
INVALID_OPTIONS = 72
NAMESPACE_EXISTS = 48
INTERRUPTED = 11601
TOO_LARGE = 10334

# Reads outside of a transaction carry no labels; these are the codes that the specification of
# retryable reads names, and what a conflict, a lock or a late majority answers. "Interrupted" has
# no label inside of a transaction either: somebody ended the operation, or its session, as the next
# owner of a partition may do at any moment to one that it takes for dead.
TRY_AGAIN = {6, 7, 24, 64, 89, 91, WRITE_CONFLICT, 134, 189, 262, 9001, 10107, 13435, 13436}
TRY_AGAIN |= {11600, INTERRUPTED, 11602}

_SETTINGS = re.compile(r" \(configured timeouts: [^)]*\)")

# The methods that send one operation for each of many, and the argument that has these.
_MANY = {
    inspect.unwrap(getattr(kind, method)).__code__: argument
    for kind in (Collection, AsyncCollection)
    for method, argument in (("insert_many", "documents"), ("bulk_write", "requests"))
}


def is_transient(error: BaseException) -> bool:
    """Whether ``error``, or what caused it, says that another try may succeed."""
    return any(_asks_for_another_try(link) for link in _causes(error))


def is_conflict(error: BaseException) -> bool:
    """Whether ``error`` comes from another transaction that wrote to the same document."""
    return any(getattr(link, "code", None) == WRITE_CONFLICT for link in _causes(error))


def is_too_large(error: BaseException) -> bool:
    """Whether ``error`` says, by the driver or the server, that a document cannot be so large."""
    return any(
        isinstance(link, DocumentTooLarge) or getattr(link, "code", None) == TOO_LARGE
        for link in _causes(error)
    )


def summary(error: BaseException) -> str:
    """Return what ``error`` says, without the server's reply and the state that pymongo appends."""
    if isinstance(error, BulkWriteError) and error.details.get("writeErrors"):
        first = error.details["writeErrors"][0]  # its text quotes the whole operation
        return f"{type(error).__name__} ({first.get('code')}): {first.get('errmsg')}"[:500]
    if isinstance(error, OperationFailure) and error.details:
        text = error.details.get("errmsg") or str(error)
        name = error.details.get("codeName", type(error).__name__)
        return f"{name} ({error.code}): {text}"[:500]
    text = _SETTINGS.sub("", str(error).partition(", Timeout: ")[0])
    return f"{type(error).__name__}: {text}"[:500]


def transient(error: BaseException) -> TransientStoreError:
    """Return the error that asks for another try because of ``error``."""
    return asks_again(error, summary(error))


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise the store's errors for those of pymongo; ``what`` says what was not done."""
    try:
        yield
    except PyMongoError as error:
        if is_transient(error) or getattr(error, "code", None) == OUT_OF_TIME:
            raise transient(error) from error
        raise StoreError(
            f"MongoDB refused to {what}; no offset was committed. It said: {summary(error)}"
        ) from error


def culprit(error: BaseException, operations: int) -> int | None:
    """Return the index of the operation that a bulk write failed at, if it had ``operations``.

    The error tells the index and not the number, which the call that raised it was given.
    """
    for link in _causes(error):
        if isinstance(link, BulkWriteError) and link.details.get("writeErrors"):
            for frame, _ in walk_tb(link.__traceback__):
                given = frame.f_locals.get(_MANY.get(frame.f_code, ""))
                if isinstance(given, Sized) and len(given) == operations:
                    return min(int(failed["index"]) for failed in link.details["writeErrors"])
    return None


def _asks_for_another_try(error: BaseException) -> bool:
    if isinstance(error, EOConsumerError):
        return isinstance(error, TransientStoreError)
    if isinstance(error, ConnectionFailure | WTimeoutError):
        return True
    if isinstance(error, BulkWriteError | ClientBulkWriteException) and _late(error):
        return True
    if isinstance(error, OperationFailure) and error.code in TRY_AGAIN:
        return True
    return isinstance(error, PyMongoError) and any(map(error.has_error_label, LABELS))


def _late(error: BulkWriteError | ClientBulkWriteException) -> bool:
    """Whether a bulk write failed in one of its parts for lack of a majority, or for a label."""
    parts = [*error.details.get("writeErrors", ()), *error.details.get("writeConcernErrors", ())]
    documents = [part for part in parts if isinstance(part, dict)]
    return any(
        part.get("code") in TRY_AGAIN or set(part.get("errorLabels", ())) & set(LABELS)
        for part in documents
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    return causes(error, _within)


def _within(error: BaseException) -> Iterator[BaseException]:
    """Yield what pymongo keeps beside the chain of causes."""
    if isinstance(error, ClientBulkWriteException) and error.error is not None:
        yield error.error
    if isinstance(error, EncryptionError):
        yield error.cause
