"""A session of motor, guarded like one of pymongo, which it has inside (``delegate``)."""

from __future__ import annotations

import asyncio
from typing import Any

from motor.motor_asyncio import AsyncIOMotorClientSession

from eoconsumer.stores.mongo.guard import Guard, GuardedSession, guarded


# motor passes pymongo's session on where the name of a class ends like this one's.
class GuardedMotorClientSession(AsyncIOMotorClientSession):
    """A session of motor, used like any other, that will not be ended by a handler.

    motor calls ``ClientSession.commit_transaction`` past the class of its session, so it has to be
    refused here as well. What takes no round trip is done at once, the rest in motor's threads.
    """

    guard: Guard
    delegate: GuardedSession

    async def commit_transaction(self) -> None:
        """Refused inside of the consumer's transaction."""
        self.guard.forbid("commit_transaction")
        await super().commit_transaction()

    async def abort_transaction(self) -> None:
        """Refused inside of the consumer's transaction."""
        self.guard.forbid("abort_transaction")
        await super().abort_transaction()

    def begin_ours(self) -> None:
        """Begin the consumer's transaction: all writes are inside, also without ``session=``."""
        self.delegate.begin_ours()

    def leave_ours(self) -> None:
        """Let writes without ``session=`` be outside again."""
        self.delegate.leave_ours()

    async def commit_ours(self) -> None:
        """Commit the consumer's transaction."""
        await super().commit_transaction()

    async def abort_ours(self) -> None:
        """Roll the consumer's transaction back."""
        await super().abort_transaction()

    async def end_ours(self) -> None:
        """End the session for good; a transaction that is open is rolled back."""
        await asyncio.to_thread(self.delegate.end_ours)


def guarded_motor(session: Any) -> GuardedMotorClientSession:
    """Return ``session`` with a guard that it shares with the session inside of it."""
    inside = guarded(session.delegate, GuardedSession)
    session.__class__ = GuardedMotorClientSession
    session.guard = inside.guard
    motor: GuardedMotorClientSession = session
    return motor
