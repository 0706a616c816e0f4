"""What a store supplies to be tested, and what all of the tests use."""

# ruff: noqa: ARG002 - what a store may leave out has the arguments of what it would supply

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NoReturn, TypeVar

import pytest

from eoconsumer.core.capabilities import Capability, capabilities_of
from eoconsumer.core.positions import Move, Position, Start
from eoconsumer.errors import TransientStoreError
from eoconsumer.message import TopicPartition
from eoconsumer.protocols import Store, StoreSession

T = TypeVar("T")
F = TypeVar("F", bound="type[object] | Callable[..., object]")

ORDERS = TopicPartition("orders", 0)
RETURNS = TopicPartition("returns", 0)

#: How long a claim may take that has to end the session of a former owner, in seconds, on a machine
#: that is busy with other tests. Left alone, servers hold the rows of such a session for 60 s.
TAKE_OVER_SECONDS = 40.0


class Contract:
    """What the tests know of a store; a store's own class supplies it."""

    #: As ``Capability.ENDS_FORMER_OWNER``, for stores that declare nothing.
    ends_former_owner = True
    #: As ``Capability.MANY_WRITERS``, for stores that declare nothing.
    many_writers = True

    @pytest.fixture(autouse=True)
    def _declared(self, request: pytest.FixtureRequest, store: object) -> None:
        """Skip a test of what the store does not declare."""
        for capability in getattr(request.function, "needs", ()):
            if not self.has(store, capability):
                self.lacks(f"its store {capability.value} ({capability})")

    def has(self, store: object, capability: Capability) -> bool:
        """Whether ``store`` declares ``capability``, and its class here does not deny it."""
        denied = (capability is Capability.ENDS_FORMER_OWNER and not self.ends_former_owner) or (
            capability is Capability.MANY_WRITERS and not self.many_writers
        )
        return capability in capabilities_of(store) and not denied

    @pytest.fixture
    def store(self) -> Any:
        """Return a store that is empty and set up."""
        raise NotImplementedError

    def write(self, store: Any, session: Any, text: str) -> None:
        """Write ``text`` through the native ``session``, as a handler would."""
        raise NotImplementedError

    def read(self, store: Any) -> Sequence[str]:
        """Return the texts that are visible to everybody, in any order."""
        raise NotImplementedError

    # --- of a store that declares WRITES ------------------------------------------------------

    def writes(self, store: Any, texts: Sequence[str]) -> Sequence[Any]:
        """Return writes as a handler would return them: one for each of ``texts``, as ``write``."""
        raise NotImplementedError

    def bad_write(self, store: Any) -> Any:
        """Return a write that the database or its driver refuses; None where it takes all."""
        raise NotImplementedError

    # --- of a store that declares LETTERS -----------------------------------------------------

    def letters(self, store: Any) -> Sequence[int]:
        """Return the offsets of the dead letters that are visible to everybody."""
        raise NotImplementedError

    # --- what may be left out here: what needs it is skipped then ---------------------------------

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


def needs(*capabilities: Capability) -> Callable[[F], F]:
    """Make of a test, or of all tests of a class, what is skipped without ``capabilities``."""

    def marked(about: F) -> F:
        tests: Iterable[Any] = vars(about).values() if isinstance(about, type) else [about]
        for test in tests:
            if getattr(test, "__name__", "").startswith("test_"):
                test.needs = (*capabilities, *getattr(test, "needs", ()))
        return about

    return marked


def owner(
    store: Store, name: str, at: dict[TopicPartition, int], partitions: int = 1
) -> tuple[StoreSession, dict[TopicPartition, Position]]:
    """Open a session of the group "ledger" that owns partitions, each at its offset."""
    session = store.open("ledger", name)
    starts = {key: Start(offset, partitions) for key, offset in at.items()}
    return session, dict(patiently(lambda: session.claim(list(at), starts)).positions)


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
