"""Watches a transaction from inside its session: what failed in it, even if nobody was told.

A handler that swallows an error would commit half of its writes, or be retried for ever. No
listener can be added to a client that is handed in, and no listener sees a document that could
not be encoded. So the session itself is watched: each command passes ``_apply_to`` on its way out
and ``_process_response`` on its way back; a command without an answer failed in between. What a
handler left running when its transaction ended is refused in ``_apply_to``. This is the one file
that knows private names of pymongo; ``test_mongo_store_guard.py`` fails when they change.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, MutableMapping
from typing import Any, NoReturn

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.client_session import ClientSession

from eoconsumer.errors import HandlerMisuse, StoreError, TransientStoreError
from eoconsumer.stores.mongo.concerns import TRANSACTION, inside
from eoconsumer.stores.mongo.translation import TRANSIENT, TRY_AGAIN
from eoconsumer.stores.twins import answer


class Guard:
    """What happened in one transaction; the first trouble counts, later ones follow from it."""

    def __init__(self) -> None:
        """Watch nothing yet."""
        self.watching = False
        self.trouble: StoreError | HandlerMisuse | None = None
        self.thread: int | None = None  # the only one outside of transactions, if there is one
        self._last = ""
        self._unanswered = 0

    def watch(self) -> None:
        """Begin with a clean slate."""
        self.watching, self.trouble, self._unanswered = True, None, 0

    def check(self) -> None:
        """Raise the first trouble of this transaction, if there was any."""
        self._note_unanswered()
        if self.trouble is not None:
            raise self.trouble

    def began(self, command: Mapping[str, Any]) -> None:
        """Note that ``command`` is about to be sent."""
        self._note_unanswered()
        self._last = " ".join(str(part) for part in next(iter(command.items())))
        self._unanswered = 1

    def answered(self, reply: Mapping[str, Any]) -> None:
        """Note the answer of the server to the last command."""
        self._unanswered = 0
        errors = reply.get("writeErrors") or ([] if reply.get("ok") else [reply])
        if not errors:
            return
        said = f"{errors[0].get('codeName', 'error')} {errors[0].get('code')}"
        if TRANSIENT in reply.get("errorLabels", ()) or errors[0].get("code") in TRY_AGAIN:
            self.doom(TransientStoreError(f"{self._last!r} was answered with {said}: try again."))
        else:
            self.doom(swallowed(f"{self._last!r} was answered with {said}"))

    def disconnected(self) -> None:
        """Note that the driver gave up the server on which the transaction was open."""
        self._unanswered = 0
        self.doom(TransientStoreError("The connection was lost within the transaction: try again."))

    @property
    def left_behind(self) -> bool:
        """Whether who asks was started by a handler, in a transaction that is over."""
        attempt = inside.get()
        if attempt is not None:
            return attempt.over
        # A thread that was started without our context is found out between two transactions only.
        return not (self.watching or self.thread in (None, threading.get_ident()))

    def admit(self, command: Mapping[str, Any]) -> None:
        """Refuse ``command`` if its transaction is over: it would be done on its own."""
        if self.left_behind:
            raise HandlerMisuse(
                f"{next(iter(command))!r} came after the end of the transaction in which it was "
                "begun; it was not sent. Handlers have to wait for the tasks and threads that they "
                "start. For work that outlives a handler, start a session of the client."
            )

    def forbid(self, what: str) -> None:
        """Refuse ``what`` inside of the consumer's transaction."""
        if self.watching:
            self.refuse(what)

    def refuse(self, what: str) -> NoReturn:
        """Raise at once what the handler must not do with its session."""
        misuse = HandlerMisuse(
            f"The handler called session.{what}(). The transaction belongs to the consumer, which "
            "commits it after the handler, together with the offset; this batch was rolled back "
            "and is not tried again. Take that call out of the handler."
        )
        self.doom(misuse)
        raise misuse

    def doom(self, trouble: StoreError | HandlerMisuse) -> None:
        """Never let this transaction commit."""
        if self.watching and self.trouble is None:
            self.trouble = trouble

    def _note_unanswered(self) -> None:
        if self._unanswered:
            self._unanswered = 0
            self.doom(swallowed(f"{self._last!r} could not be sent (was its data encodable?)"))


class GuardedSession(ClientSession):
    """A session of pymongo, used like any other, that will not be ended by a handler."""

    # No base for both twins: with a second one, a session of pymongo could not become one of these.
    guard: Guard
    _bound: Any

    def start_transaction(self, *args: Any, **kwargs: Any) -> Any:
        """Refused inside of the consumer's transaction."""
        self.guard.forbid("start_transaction")
        return super().start_transaction(*args, **kwargs)

    def commit_transaction(self) -> None:
        """Refused inside of the consumer's transaction."""
        self.guard.forbid("commit_transaction")
        super().commit_transaction()

    def abort_transaction(self) -> None:
        """Refused inside of the consumer's transaction."""
        self.guard.forbid("abort_transaction")
        super().abort_transaction()

    def _end_session(self, lock: bool) -> None:  # noqa: ARG002 - pymongo's signature
        self.guard.refuse("end_session")

    def _apply_to(self, command: MutableMapping[str, Any], *args: Any, **kwargs: Any) -> None:
        self.guard.admit(command)  # or it would be taken for one of the next transaction
        if self.guard.watching:
            self.guard.began(command)
        super()._apply_to(command, *args, **kwargs)
        # 1. motor's thread was admitted, 2. the loop aborts, 3. the thread finds no transaction.
        self.guard.admit(command)

    def _process_response(self, reply: Mapping[str, Any]) -> None:
        super()._process_response(reply)
        if self.guard.watching and not self.guard.left_behind:
            self.guard.answered(reply)

    def _unpin(self) -> None:
        super()._unpin()
        if self.guard.watching and not self.guard.left_behind:
            self.guard.disconnected()

    # --- what the store itself may do ---------------------------------------------------------

    def begin_ours(self) -> None:
        """Begin the consumer's transaction: all writes are inside, also without ``session=``."""
        ClientSession.start_transaction(self)
        self._bound = self.bind(end_session=False)
        self._bound.__enter__()

    def leave_ours(self) -> None:
        """Let writes without ``session=`` be outside again."""
        self._bound.__exit__(None, None, None)

    def commit_ours(self) -> None:
        """Commit the consumer's transaction."""
        ClientSession.commit_transaction(self)

    def abort_ours(self) -> None:
        """Roll the consumer's transaction back."""
        ClientSession.abort_transaction(self)

    def end_ours(self) -> None:
        """End the session for good; a transaction that is open is rolled back."""
        ClientSession._end_session(self, lock=True)


class AsyncGuardedSession(AsyncClientSession):
    """The same for PyMongo Async."""

    guard: Guard
    _bound: Any

    async def start_transaction(self, *args: Any, **kwargs: Any) -> Any:
        """Refused inside of the consumer's transaction."""
        self.guard.forbid("start_transaction")
        return await super().start_transaction(*args, **kwargs)

    async def commit_transaction(self) -> None:
        """Refused inside of the consumer's transaction."""
        self.guard.forbid("commit_transaction")
        await super().commit_transaction()

    async def abort_transaction(self) -> None:
        """Refused inside of the consumer's transaction."""
        self.guard.forbid("abort_transaction")
        await super().abort_transaction()

    async def _end_session(self, lock: bool) -> None:  # noqa: ARG002 - pymongo's signature
        self.guard.refuse("end_session")

    def _apply_to(self, command: MutableMapping[str, Any], *args: Any, **kwargs: Any) -> None:
        self.guard.admit(command)  # or it would be taken for one of the next transaction
        if self.guard.watching:
            self.guard.began(command)
        super()._apply_to(command, *args, **kwargs)
        # 1. motor's thread was admitted, 2. the loop aborts, 3. the thread finds no transaction.
        self.guard.admit(command)

    def _process_response(self, reply: Mapping[str, Any]) -> None:
        super()._process_response(reply)
        if self.guard.watching and not self.guard.left_behind:
            self.guard.answered(reply)

    async def _unpin(self) -> None:
        await super()._unpin()
        if self.guard.watching and not self.guard.left_behind:
            self.guard.disconnected()

    # --- what the store itself may do ---------------------------------------------------------

    async def begin_ours(self) -> None:
        """Begin the consumer's transaction: all writes are inside, also without ``session=``."""
        await AsyncClientSession.start_transaction(self)
        self._bound = self.bind(end_session=False)
        await self._bound.__aenter__()

    async def leave_ours(self) -> None:
        """Let writes without ``session=`` be outside again."""
        await self._bound.__aexit__(None, None, None)

    async def commit_ours(self) -> None:
        """Commit the consumer's transaction."""
        await AsyncClientSession.commit_transaction(self)

    async def abort_ours(self) -> None:
        """Roll the consumer's transaction back."""
        await AsyncClientSession.abort_transaction(self)

    async def end_ours(self) -> None:
        """End the session for good; a transaction that is open is rolled back."""
        await AsyncClientSession._end_session(self, lock=True)


async def open_session(client: Any) -> Any:
    """Open a causally consistent session whose transactions are guarded."""
    session = await answer(
        client.start_session(causal_consistency=True, default_transaction_options=TRANSACTION)
    )
    if isinstance(session, ClientSession):
        return guarded(session, GuardedSession)
    if isinstance(session, AsyncClientSession):
        return guarded(session, AsyncGuardedSession)
    from eoconsumer.stores.mongo.motor import guarded_motor  # motor may not be installed

    return guarded_motor(session)


def guarded(session: Any, kind: type) -> Any:
    """Return ``session`` as one of ``kind``, which has a guard."""
    session.__class__ = kind
    session.guard = Guard()
    return session


def swallowed(what: str) -> HandlerMisuse:
    """Return the error of a handler that kept ``what`` to itself."""
    return HandlerMisuse(
        f"{what}, and the handler went on as if nothing had happened. A transaction in which an "
        "operation failed cannot be committed: it was rolled back and is not tried again. Let the "
        "error leave the handler, or avoid it (an upsert instead of a duplicate insert)."
    )
