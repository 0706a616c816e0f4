"""One tree of errors; each says whose fault it is, what was not done and what to do next.

The docstring of a class is its default message. Errors of client libraries are translated in one
place per library and chained with ``from``, so ``__cause__`` is always the original.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eoconsumer.message import MessageKey, TopicPartition


class EOConsumerError(Exception):
    """Something went wrong in eoconsumer; catch this to catch every error of the library."""

    def __init__(self, message: str | None = None) -> None:
        """Take ``message``, or the docstring of the class where none is given."""
        super().__init__(message or inspect.cleandoc(type(self).__doc__ or ""))


class ConfigurationError(EOConsumerError):
    """A setting is wrong; nothing was consumed. Correct the setting and start again."""


class ForkError(EOConsumerError):
    """This process was forked after the consumer started; the child did nothing.

    Kafka's client threads do not survive a fork. Create and run a new consumer in the child.
    """


class HandlerMisuse(EOConsumerError):  # noqa: N818 - the name is part of the public API
    """The handler broke the transaction it was given; the batch was rolled back, never retried.

    Let database errors leave the handler, do not commit, abort or end the session yourself, and
    write only through the session that was handed in.
    """


class HandlerFailed(EOConsumerError):  # noqa: N818 - the name is part of the public API
    """The handler failed for one message and retries are used up; nothing after it was handled.

    ``__cause__`` is what the handler raised. Mend the handler or the message, or set
    ``on_poison="skip"`` or ``"bury"``.
    """


class DecodeError(EOConsumerError):
    """The message could not be decoded; the handler did not see its value.

    Mend the decoder or the producer, or set ``on_poison="skip"`` or ``"bury"``.
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        offset: int | None = None,
        partition: TopicPartition | None = None,
    ) -> None:
        """``offset`` and ``partition`` are those of the message, where they are known."""
        super().__init__(message)
        self.offset, self.partition = offset, partition


class KeyInQuarantine(EOConsumerError):  # noqa: N818 - the name is part of the public API
    """The handler did not see this message: an earlier one of its key is a dead letter.

    A redrive applies both, in order.
    """


class PositionError(EOConsumerError):
    """The stored position does not fit the topic; no message was handled.

    Check that group, topic and database belong together, then set the position on purpose.
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        partition: TopicPartition | None = None,
        missing: int = 0,
    ) -> None:
        """Name the ``partition``, where it is one, and how many messages are ``missing``."""
        super().__init__(message)
        self.partition = partition
        self.missing = missing


class OffsetOutOfRange(PositionError):  # noqa: N818 - the name is part of the public API
    """The stored position lies outside the topic's log; no message was handled."""


class TopicRecreated(PositionError):  # noqa: N818 - the name is part of the public API
    """The topic was deleted and created anew since the position was stored; nothing was handled."""


class TopicGone(PositionError):  # noqa: N818 - the name is part of the public API
    """The topic does not exist (any more); nothing was handled."""


class LogTruncated(PositionError):  # noqa: N818 - the name is part of the public API
    """The topic's log was truncated below the stored position; nothing was handled."""


class ClusterChanged(PositionError):  # noqa: N818 - the name is part of the public API
    """The broker belongs to another cluster than the stored position; nothing was handled."""


class BrokerError(EOConsumerError):
    """Kafka cannot be used at present; nothing was lost. The reader restarts with a backoff."""


class WriteFailed(EOConsumerError):  # noqa: N818 - a signal between store and driver
    """A write that a handler returned was refused; its batch was rolled back.

    ``__cause__`` is what the database or its driver said.
    """

    def __init__(
        self,
        index: int | None = None,
        message: str | None = None,
        *,
        before_are_done: bool = False,
    ) -> None:
        """``index`` is that of the refused write, where it is known.

        ``before_are_done``: outside of a transaction, whether all writes before it were done.
        """
        super().__init__(message)
        self.index = index
        self.before_are_done = before_are_done


class StoreError(EOConsumerError):
    """The database failed; the transaction was rolled back and no offset was committed."""


class TransientStoreError(StoreError):
    """The database asks for another try (fail-over, conflict, lost connection); nothing is lost."""


class CommitInDoubt(StoreError):  # noqa: N818 - the name is part of the public API
    """The answer to a commit was lost; the stored position will tell whether it happened."""


class Fenced(StoreError):  # noqa: N818 - the name is part of the public API
    """Another consumer owns the partition now; it is let go here, and nothing is lost."""

    def __init__(
        self, partitions: Iterable[TopicPartition] = (), message: str | None = None
    ) -> None:
        """Name the ``partitions`` (topic, partition) that were fenced."""
        self.partitions: tuple[TopicPartition, ...] = tuple(partitions)
        if message is None and self.partitions:
            names = ", ".join(f"{tp.topic}[{tp.partition}]" for tp in self.partitions)
            message = f"{names}: {inspect.cleandoc(Fenced.__doc__ or '')}"
        super().__init__(message)


class LetterGone(StoreError):  # noqa: N818 - the name is part of the public API
    """The dead letter is gone: somebody else applied or dropped it; our transaction rolled back."""


class QuarantineLifted(StoreError):  # noqa: N818 - the name is part of the public API
    """These keys left their quarantine; the batch was rolled back, and handles them again."""

    def __init__(self, keys: Iterable[MessageKey] = (), message: str | None = None) -> None:
        """Name the ``keys`` (partition, key) whose quarantine was lifted."""
        super().__init__(message)
        self.keys: tuple[MessageKey, ...] = tuple(keys)


def said(error: BaseException) -> str:
    """Return the text of ``error``; there are some whose ``str`` raises."""
    try:
        return str(error)
    except Exception as failed:
        return f"(its text cannot be shown: {type(failed).__name__})"


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error`` and what caused it, each once: a handler may raise an error from itself."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        yield link
        seen.add(id(link))
        link = link.__cause__
