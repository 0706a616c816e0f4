"""What a store must do. The in-memory store defines the meaning.

Its heart is what is abstract here. What is not, a store may leave out: it says in ``capabilities``
what it does, and inherits from these protocols that it refuses the rest.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from typing_extensions import TypeVar

from eoconsumer.core.applied import Applied
from eoconsumer.core.capabilities import Capability
from eoconsumer.core.lanes import Lane
from eoconsumer.core.letters import DeadLetter, Letter, Selection
from eoconsumer.core.positions import Claims, Move, Position, Start
from eoconsumer.errors import Fenced
from eoconsumer.message import MessageKey, TopicPartition

S_co = TypeVar("S_co", covariant=True, default=Any)


class Scope(Protocol[S_co]):
    """Where writes go: an open transaction, or a reader's session outside of one."""

    @property
    @abstractmethod
    def session(self) -> S_co:
        """The native session of the database, handed to the handler."""

    def write(self, writes: Sequence[Any]) -> None:
        """Send what handlers returned, in as few round trips as the database allows.

        Order is kept within a collection or table, not across them. Raises ``WriteFailed`` for a
        write that the database or its driver refused, ``TransientStoreError``, and
        ``HandlerMisuse`` for what is no write of this store. Outside of a transaction each write
        stands alone, and the arguments are not kept.
        """
        raise Capability.WRITES.missing()

    @abstractmethod
    def advance(self, moves: Sequence[Move]) -> None:
        """Write all positions in one command, each only where epoch and position are still ours.

        Raises ``Fenced`` naming the partitions whose row is not. In a transaction nothing stays
        of the others then; outside of one the others did advance.
        """

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Write dead letters: raw key and value, headers, place, timestamp, error, attempts.

        In a transaction a letter's ``hold`` is obeyed: where it ``BEGINS``, its key is put into
        quarantine; where it ``WAITS``, its key must be there, or ``QuarantineLifted`` is raised.
        Both *write* the quarantine, so that of this and a ``lift`` at the same time one fails with
        ``TransientStoreError``. Outside of a transaction no letter holds.
        """
        raise Capability.LETTERS.missing()

    def remove(self, letter: Letter) -> None:
        """Remove a dead letter; raises ``LetterGone`` where it is not there any more.

        Where the open transaction of somebody else has removed it: ``TransientStoreError``.
        """
        raise Capability.LETTERS.missing()

    def note_applied(self, lines: Sequence[Applied]) -> None:
        """Write lines of the applied-log; a line that is there already is left as it is."""
        raise Capability.APPLIED_LOG.missing()


class CommitsOnLeaving(Protocol):
    """A block that commits when it is left, or aborts: after an error, also one of the commit."""

    @abstractmethod
    def commit(self) -> None:
        """Commit."""

    @abstractmethod
    def abort(self) -> None:
        """Roll back; does nothing where a commit was sent."""

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit, or roll back after an error."""
        if error is not None:
            self.abort()
            return
        try:
            self.commit()
        except BaseException:
            self.abort()
            raise


class Transaction(Scope[S_co], CommitsOnLeaving, Protocol[S_co]):
    """One transaction. As a context manager it commits on leaving, or aborts on an error."""

    def lift(self, key: MessageKey) -> bool:
        """End the quarantine of ``key``, unless a letter of it is left; return whether it is over.

        Raises ``TransientStoreError`` where a letter is being buried for it at the same time.
        """
        return True

    @abstractmethod
    def commit(self) -> None:
        """Commit; may be called again after ``CommitInDoubt``.

        Raises ``CommitInDoubt`` where the answer was lost, ``TransientStoreError`` where the
        transaction is surely gone, ``HandlerMisuse`` where the handler broke it.
        """

    @abstractmethod
    def abort(self) -> None:
        """Roll back. Never raises: what cannot be told to the server, the server forgets."""


class StoreSession(Scope[S_co], Protocol[S_co]):
    """A reader's long-lived session with the store; used by one thread at a time."""

    @abstractmethod
    def claim(
        self, partitions: Sequence[TopicPartition], starts: Mapping[TopicPartition, Start]
    ) -> Claims:
        """Raise the epoch of the rows of ``partitions``, own them, and return their positions.

        The keys in quarantine are read after that write, so that those of former owners are there.
        A partition without a row is left out, unless ``starts`` has it: then the row is made. A
        row that exists keeps its position, unless its ``Start`` says which epoch it ``replaces``
        and the row still has that epoch; identity and leader epoch go with it. Takes a constant
        number of round trips. A row held by the open transaction of a former owner is freed by
        ending that owner's session. Raises ``TransientStoreError``.
        """

    def positions(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Position]:
        """Read the rows from the primary, never older than our own last write."""
        rows = self.all_positions()
        return {key: rows[key] for key in partitions if key in rows}

    @abstractmethod
    def all_positions(self) -> dict[TopicPartition, Position]:
        """Read all rows of the group in the same way, whatever topics they are of."""

    @abstractmethod
    def release(self, moves: Sequence[Move]) -> None:
        """Note that rows which are still ours have no live owner any more."""

    def write(self, writes: Sequence[Any]) -> None:
        """See ``Scope.write``; if not overridden, in a transaction of their own."""
        with self.transaction() as own:
            own.write(writes)

    def advance(self, moves: Sequence[Move]) -> None:
        """See ``Scope.advance``; if not overridden, each in a transaction of its own."""
        gone: list[TopicPartition] = []
        for move in moves:
            try:
                with self.transaction() as own:
                    own.advance([move])
            except Fenced as fenced:
                gone += fenced.partitions
        if gone:
            raise Fenced(gone)

    def note_failure(self, letter: Letter, error: BaseException) -> None:
        """Note in a dead letter one more attempt, and its error; nothing where it is gone."""
        raise Capability.LETTERS.missing()

    @abstractmethod
    def transaction(self) -> Transaction[S_co]:
        """Open a transaction."""

    @abstractmethod
    def translate(self, error: BaseException) -> BaseException:
        """Return ``TransientStoreError`` for what the database asks to be tried again.

        Anything else, an error of the handler or of its data, is returned as it is. Each error of
        a handler comes here; what it left unwritten outside of a transaction is never written.
        """

    def flush(self) -> None:
        """Write what a handler left unwritten in ``session``, that of the open transaction if any.

        Called after each run, and outside of a transaction after each message (in form "batch"
        after each run), before it counts as handled.
        Raises what the database or its driver says, as the handler itself would. Nothing to do
        where a session writes at once.
        """
        return

    def culprit(self, error: BaseException, messages: int) -> int | None:
        """Return which of ``messages`` (from 0) a handler of runs failed for, by its ``error``.

        Known where a command of as many writes as there were messages says which write failed.
        """
        return None

    @abstractmethod
    def close(self) -> None:
        """End the session; open transactions are rolled back."""


@runtime_checkable
class Store(Protocol[S_co]):
    """A transactional database that keeps positions and the users' writes together."""

    @property
    def transaction_seconds(self) -> float | None:
        """How long a transaction may take, from its begin to its commit; None: no limit."""
        return None

    @abstractmethod
    def setup(self) -> None:
        """Make what the store needs; idempotent, safe when many start at once.

        Raises ``ConfigurationError`` where the database cannot do what is promised, and
        ``TransientStoreError`` where it may be there, or ready, soon.
        """

    @abstractmethod
    def open(self, group: str, owner: str) -> StoreSession[S_co]:
        """Open a session for one reader; ``owner`` is unique among all readers, ever."""

    def letters(self, which: Selection, after: Letter | None, limit: int) -> Sequence[Letter]:
        """Return dead letters that everybody can see, at most ``limit``, in their order.

        The order is that of group, topic, partition and offset; ``after`` is the last letter of
        the answer before.
        """
        raise Capability.LETTERS.missing()

    def applied(
        self, group: str, partition: TopicPartition, first: int, upto: int
    ) -> Iterator[Applied]:
        """Read the lines of the applied-log that reach into the offsets from ``first`` to ``upto``.

        They come in the order of their first offsets, and are not all held in memory.
        """
        raise Capability.APPLIED_LOG.missing()

    def close(self) -> None:
        """Close what the store opened itself."""
        return


@runtime_checkable
class LaneStore(Store[S_co], Protocol[S_co]):
    """A store whose partitions may have lanes, each with a row of its own."""

    @abstractmethod
    def open_lane(self, group: str, owner: str, lane: Lane) -> StoreSession[S_co]:
        """Open a session for one lane; its claims, positions and moves are of that lane's rows.

        ``owner`` is ``lane.owner(reader)``, where ``reader`` is the owner's name of its reader.
        Number 0 is for the reader that has the lanes: as ``open``, and what it claims may have
        lanes from then on. *Whoever* claims a partition fences the rows of all its lanes, of
        whatever number they are one, and is told what they have done beyond its position
        (``ahead``) and no more after that. A lane's row counts where it has ``begun`` as the
        partition's has, which changes whenever a ``Start`` sets the position and does not go on.

        A lane claims with a ``Start`` for each partition. Its row is made or taken, where its epoch
        is not later than ``under``, and gets that epoch; it keeps its position where that counts
        and is further on than the start's. The lane owns it if the partition's row has that epoch
        *after* this write; else it is left out.
        """
