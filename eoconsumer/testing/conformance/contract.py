"""What a store supplies to be tested, and what all of the tests use."""

# ruff: noqa: ARG002 - what a store may leave out has the arguments of what it would supply

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NoReturn, TypeVar

import pytest

from eoconsumer.core.positions import Move, Position, Start
from eoconsumer.errors import TransientStoreError
from eoconsumer.message import TopicPartition
from eoconsumer.protocols import Store, StoreSession

T = TypeVar("T")

ORDERS = TopicPartition("orders", 0)
RETURNS = TopicPartition("returns", 0)


class Contract:
    """What the tests know of a store; a store's own class supplies it."""

    #: Whether a claim can end the session of a former owner whose transaction holds the row.
    ends_former_owner = True
    #: Whether two transactions can write at the same time, and not one after the other.
    many_writers = True

    @pytest.fixture
    def side_by_side(self) -> None:
        """Skip a test in which two transactions write at the same time, where that is no case."""
        if not self.many_writers:
            pytest.skip(f"{type(self).__name__}: here one transaction writes after the other")

    @pytest.fixture
    def store(self) -> Any:
        """Return a store that is empty and set up."""
        raise NotImplementedError

    def write(self, store: Any, session: Any, text: str) -> None:
        """Write ``text`` through the native ``session``, as a handler would."""
        raise NotImplementedError

    def writes(self, store: Any, texts: Sequence[str]) -> Sequence[Any]:
        """Return writes as a handler would return them: one for each of ``texts``, as ``write``."""
        raise NotImplementedError

    def bad_write(self, store: Any) -> Any:
        """Return a write that the database or its driver refuses; None where it takes all."""
        raise NotImplementedError

    def read(self, store: Any) -> Sequence[str]:
        """Return the texts that are visible to everybody, in any order."""
        raise NotImplementedError

    def letters(self, store: Any) -> Sequence[int]:
        """Return the offsets of the dead letters that are visible to everybody."""
        raise NotImplementedError

    # --- what a store may leave out: what needs it is skipped then --------------------------------

    def commit_answers_lost(self, store: Any) -> AbstractContextManager[None]:
        """Let the answers to commits be lost in this block, whether they took place or not."""
        self.lacks("it does not say how the answer to a commit is lost (commit_answers_lost)")

    def swallow_an_error(self, store: Any, session: Any) -> None:
        """Do what the database refuses, and go on as if nothing had happened."""
        self.lacks("it does not say how an operation fails (swallow_an_error)")

    def end_the_transaction(self, store: Any, session: Any) -> None:
        """Commit or roll back by the native ``session``, as a handler must not."""
        self.lacks("it does not say how a handler ends a transaction (end_the_transaction)")

    def lacks(self, reason: str) -> NoReturn:
        """Skip a test, and say in the report for which store and why."""
        pytest.skip(f"{type(self).__name__}: {reason}")


def owner(
    store: Store, name: str, at: dict[TopicPartition, int], partitions: int = 1
) -> tuple[StoreSession, dict[TopicPartition, Position]]:
    """Open a session of the group "ledger" that owns partitions, each at its offset."""
    session = store.open("ledger", name)
    starts = {key: Start(offset, partitions) for key, offset in at.items()}
    return session, dict(session.claim(list(at), starts).positions)


def step(key: TopicPartition, rows: dict[TopicPartition, Position], upto: int) -> Move:
    """Return the move of a partition from its row to ``upto``."""
    return Move(key, rows[key].epoch, rows[key].next_offset, upto)


def patiently(action: Callable[[], T]) -> T:
    """Do ``action`` again while the database asks for it, as a reader does."""
    for _ in range(20):
        try:
            return action()
        except TransientStoreError as error:
            last = error
    raise last
